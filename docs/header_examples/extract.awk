# Puts the examples of headers where a stage wants them:
#
#   awk -f extract.awk STAGE HEADER...
#
# An example is a run of comment lines that are indented by three spaces and
# hold code: one of them ends in `;`, `{` or `}`. A line of `...` alone ends an
# example, as the end of the run does; so a header's examples have numbers. In
# the stage, the line
#
#   // EXAMPLE util/async_iter.h 2
#
# becomes the second example of that header. Inside an example, `...` stands
# for what the reader knows: alone on a line for nothing, at the end of a line
# for an empty statement.
#
# Fails when a stage asks for an example that is not there, or leaves one out.

function CodeOf(line) {
  sub(/ *\/\/.*$/, "", line)
  return line
}

function EndExample() {
  if (is_code) {
    ++count[header]
    example[header, count[header]] = \
        "#line " first " \"" header "\"\n" text
  }
  text = ""
  is_code = 0
}

FNR == 1 {
  EndExample()
  ++files
  header = FILENAME
}

files == 1 {
  stage = FILENAME
  stage_lines[++stage_length] = $0
  next
}

/^ *\/\/ ? ? ?$/ && text != "" {
  text = text "\n"
  next
}

!/^ *\/\/   [^ ]/ && !(text != "" && /^ *\/\/    /) {
  EndExample()
  next
}

{
  line = $0
  sub(/^ *\/\/   /, "", line)
  code = CodeOf(line)
  if (code ~ /^\.\.\.$/) {
    EndExample()
    next
  }
  if (text == "") first = FNR
  if (code ~ /^ *\.\.\.$/) {
    line = ""
  } else if (code ~ / \.\.\.$/) {
    line = substr(code, 1, length(code) - 4) " {}"
    is_code = 1
  } else if (code ~ /[;{}]$/) {
    is_code = 1
  }
  text = text line "\n"
}

END {
  EndExample()
  for (i = 1; i <= stage_length; ++i) {
    if (split(stage_lines[i], word, " ") == 4 && word[1] == "//" &&
        word[2] == "EXAMPLE") {
      if (!((word[3], word[4]) in example)) {
        print stage ":" i ": " word[3] " has no example " word[4] \
            > "/dev/stderr"
        failed = 1
      }
      printf "%s", example[word[3], word[4]]
      print "#line " i + 1 " \"" stage "\""
      used[word[3], word[4]] = 1
    } else {
      print stage_lines[i]
    }
  }
  for (header in count) {
    for (i = 1; i <= count[header]; ++i) {
      if (!((header, i) in used)) {
        print stage ": leaves out example " i " of " header > "/dev/stderr"
        failed = 1
      }
    }
  }
  exit failed
}
