// The documentation tells the truth, as far as a program can tell: quoted code
// is in a source file, quoted output is what comes out, and what is named
// exists.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "docs/examples/run_program_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

namespace fs = std::filesystem;
using Lines = std::vector<std::string>;
using testing::Contains;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;

// Where the real files are, behind the links of the test's directory.
fs::path Source() {
  static const auto* const source =
      new fs::path(fs::canonical("docs/principle.md").parent_path() / "..");
  return *source;
}

std::string Read(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

// Every document for users, relative to the source tree.
std::vector<fs::path> Documents() {
  std::vector<fs::path> documents = {"README.md", "CONTRIBUTING.md",
                                     "CHANGELOG.md"};
  for (const auto& entry : fs::directory_iterator(Source() / "docs")) {
    if (entry.path().extension() == ".md") {
      documents.push_back("docs" / entry.path().filename());
    }
  }
  return documents;
}

// Files below `folder` for which `wanted(path)`, relative to the source tree.
template <class Wanted>
std::vector<fs::path> Find(const fs::path& folder, Wanted wanted) {
  std::vector<fs::path> found;
  fs::recursive_directory_iterator end;
  for (fs::recursive_directory_iterator entry(Source() / folder); entry != end;
       ++entry) {
    const std::string name = entry->path().filename();
    // Bazel's links and git's own; experiments that nobody keeps; workspaces of
    // their own.
    if (name[0] == '.' || name.starts_with("bazel-") ||
        name.starts_with("scratch") ||
        fs::exists(entry->path() / "WORKSPACE")) {
      entry.disable_recursion_pending();
    } else if (entry->is_regular_file() && wanted(entry->path())) {
      found.push_back(entry->path().lexically_relative(Source()));
    }
  }
  return found;
}

// A fenced block of a document.
struct Block {
  fs::path document;
  std::string language;
  Lines lines;
};

std::vector<Block> Blocks(const std::string& language) {
  std::vector<Block> blocks;
  for (const fs::path& document : Documents()) {
    Block block;
    bool inside = false;
    for (const std::string& line :
         docs::SplitLines(Read(Source() / document))) {
      if (!line.starts_with("```")) {
        if (inside) block.lines.push_back(line);
      } else if (!inside) {
        inside = true;
        block = {document, line.substr(3), {}};
      } else {
        inside = false;
        if (block.language == language) blocks.push_back(block);
      }
    }
    EXPECT_FALSE(inside) << document << " ends inside a fenced block";
  }
  return blocks;
}

// What stands between each `open` and the `close` that follows it.
std::vector<std::string> Between(const std::string& text,
                                 const std::string& open,
                                 const std::string& close) {
  std::vector<std::string> found;
  size_t end = 0;
  for (size_t begin; (begin = text.find(open, end)) != std::string::npos;) {
    begin += open.size();
    end = text.find(close, begin);
    if (end == std::string::npos) break;
    found.push_back(text.substr(begin, end - begin));
    end += close.size();
  }
  return found;
}

// The section of the README with this title; empty if there is none.
std::string ReadmeSection(const std::string& title) {
  const std::string readme = Read(Source() / "README.md");
  const size_t begin = readme.find("\n## " + title + "\n");
  if (begin == std::string::npos) return "";
  return readme.substr(begin, readme.find("\n## ", begin + 1) - begin);
}

constexpr char kLetters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
constexpr char kDigits[] = "0123456789";

// What `text` has at `begin` of these characters.
std::string Leading(const std::string& text, size_t begin,
                    const std::string& characters) {
  return text.substr(begin, text.find_first_not_of(characters, begin) - begin);
}

bool HasWord(const std::string& text, const std::string& word) {
  for (size_t at = 0; (at = text.find(word, at)) != std::string::npos; ++at) {
    const bool begins = at == 0 || std::string(kLetters).find(text[at - 1]) ==
                                       std::string::npos;
    if (begins && Leading(text, at, kLetters) == word) return true;
  }
  return false;
}

// The workspace that users copy, which is no package of this one.
constexpr char kExampleWorkspace[] = "docs/examples/workspace";

bool IsCpp(const fs::path& path) {
  return path.extension() == ".cc" || path.extension() == ".h";
}

// Expects each block of the language to be in one of the files. Returns the
// number of blocks.
int ExpectQuotesOf(const std::vector<fs::path>& files,
                   const std::string& language) {
  std::vector<Lines> sources;
  for (const fs::path& file : files) {
    sources.push_back(docs::SplitLines(Read(Source() / file)));
  }
  int compared = 0;
  for (const Block& block : Blocks(language)) {
    const bool found =
        std::any_of(sources.begin(), sources.end(), [&](const Lines& source) {
          return std::search(source.begin(), source.end(), block.lines.begin(),
                             block.lines.end()) != source.end();
        });
    EXPECT_TRUE(found) << block.document << ": no source file has the block of "
                       << language << " that begins with\n"
                       << block.lines.at(0);
    ++compared;
  }
  return compared;
}

TEST(DocsTest, QuotedCodeIsInASourceFile) {
  std::vector<fs::path> sources = Find("", IsCpp);
  for (const fs::path& file : Find(kExampleWorkspace, IsCpp)) {
    sources.push_back(file);
  }
  EXPECT_GE(ExpectQuotesOf(sources, "c++"), 5);
}

TEST(DocsTest, QuotedBuildFilesAreInTheExampleWorkspace) {
  const fs::path workspace = kExampleWorkspace;
  EXPECT_GE(ExpectQuotesOf({workspace / "BUILD", workspace / "MODULE.bazel",
                            workspace / "WORKSPACE"},
                           "python"),
            3);
  EXPECT_GE(ExpectQuotesOf({workspace / ".bazelrc"}, "bazelrc"), 2);
}

// "$ ./bazelw run //docs/examples:NAME -- ARGUMENTS" and the lines that follow
// it. What is meant to take a while is woken before the last line.
TEST(DocsTest, QuotedOutputIsWhatComesOut) {
  const std::string run = "$ ./bazelw run //docs/examples:";
  int compared = 0;
  for (const Block& block : Blocks("console")) {
    for (size_t i = 0; i < block.lines.size();) {
      const std::string command = block.lines[i++];
      ASSERT_TRUE(command.starts_with("$ ")) << block.document << command;
      Lines expected;
      while (i < block.lines.size() && !block.lines[i].starts_with("$ ")) {
        expected.push_back(block.lines[i++]);
      }
      if (expected.empty()) continue;
      SCOPED_TRACE(block.document.string() + ": " + command);
      ASSERT_TRUE(command.starts_with(run)) << "shows the output of a command "
                                               "that this test cannot run";
      std::istringstream words(command.substr(run.size()));
      std::vector<std::string> arguments;
      for (std::string word; words >> word;) {
        if (word != "--") arguments.push_back(word);
      }
      arguments[0] = "docs/examples/" + arguments[0];
      docs::FakeSleep sleep;
      size_t lines = 0;
      const auto wake_last = [&](const std::string&) {
        if (++lines + 1 == expected.size()) sleep.Wake(1);
      };
      const docs::Outcome outcome =
          docs::RunProgram(arguments, sleep.path(), wake_last);
      EXPECT_EQ(outcome.exit_code, 0);
      EXPECT_EQ(outcome.lines, expected);
      EXPECT_THAT(outcome.error_lines, IsEmpty());
      ++compared;
    }
  }
  EXPECT_GE(compared, 3);
}

TEST(DocsTest, QuickCommandsAreInTheReadme) {
  const Lines readme = docs::SplitLines(Read(Source() / "README.md"));
  EXPECT_THAT(readme, IsSupersetOf({
                          "$ ./bazelw run //docs/examples:factorial -- 10",
                          "$ ./bazelw test //...",
                      }));
}

// Folders are named as `folder/` at the beginning of a row.
std::set<std::string> CodeMap() {
  std::set<std::string> folders;
  for (const std::string& row :
       Between(ReadmeSection("Code map"), "\n| `", "/` |")) {
    folders.insert(row);
  }
  return folders;
}

TEST(DocsTest, CodeMapHasEveryFolder) {
  const std::set<std::string> map = CodeMap();
  for (const fs::path& build :
       Find("", [](const auto& path) { return path.filename() == "BUILD"; })) {
    const std::string folder = build.parent_path();
    if (folder.empty()) continue;
    EXPECT_THAT(map, Contains(folder));
  }
  for (const std::string& folder : map) {
    EXPECT_TRUE(fs::is_directory(Source() / folder))
        << folder << "/ is in the README's code map, and does not exist";
  }
}

TEST(DocsTest, WhatIsNotThereYetHasNoTargets) {
  for (const std::string& name :
       Between(ReadmeSection("Not there yet"), "`", "`")) {
    if (!name.ends_with("/")) continue;
    EXPECT_TRUE(fs::exists(Source() / name / "BUILD")) << name;
    EXPECT_EQ(Read(Source() / name / "BUILD").find("name ="), std::string::npos)
        << name << " has targets: tell the README";
  }
}

// The rules of a BUILD file, each as its text.
Lines Rules(const std::string& build) {
  Lines rules;
  size_t begin = 0;
  for (size_t end; (end = build.find("\n)\n", begin)) != std::string::npos;
       begin = end + 3) {
    rules.push_back(build.substr(begin, end - begin));
  }
  return rules;
}

bool IsPublic(const std::string& rule) {
  return rule.find("visibility = [\"//visibility:public\"]") !=
         std::string::npos;
}

// A public library with headers.
struct Target {
  std::string label;              // as one writes it: "//util", "//util:x"
  std::vector<fs::path> headers;  // relative to the source tree
};

std::vector<Target> PublicTargets() {
  std::vector<Target> targets;
  for (const fs::path& file :
       Find("", [](const auto& path) { return path.filename() == "BUILD"; })) {
    const fs::path folder = file.parent_path();
    for (const std::string& rule : Rules(Read(Source() / file))) {
      if (!IsPublic(rule)) continue;
      const Lines headers = Between(rule, "hdrs = [", "]");
      if (headers.empty()) continue;
      const std::string name = Between(rule, "name = \"", "\"").at(0);
      Target target = {"//" + folder.string(), {}};
      if (name != folder.filename()) target.label += ":" + name;
      for (const std::string& header : Between(headers[0], "\"", "\"")) {
        target.headers.push_back(folder / header);
      }
      targets.push_back(target);
    }
  }
  EXPECT_GT(targets.size(), 10);
  return targets;
}

std::vector<fs::path> PublicHeaders() {
  std::vector<fs::path> headers;
  for (const Target& target : PublicTargets()) {
    headers.insert(headers.end(), target.headers.begin(), target.headers.end());
  }
  return headers;
}

TEST(DocsTest, ReadmeHasARowForEveryPublicTarget) {
  const std::string readme = Read(Source() / "README.md");
  for (const Target& target : PublicTargets()) {
    EXPECT_NE(readme.find("\n| `" + target.label + "` |"), std::string::npos)
        << "the table of targets in README.md has no row for " << target.label;
  }
}

TEST(DocsTest, EveryHeaderIsInATarget) {
  int headers = 0;
  for (const fs::path& header :
       Find("", [](const auto& path) { return path.extension() == ".h"; })) {
    fs::path folder = header.parent_path();
    while (!folder.empty() && !fs::exists(Source() / folder / "BUILD")) {
      folder = folder.parent_path();
    }
    const std::string build = Read(Source() / folder / "BUILD");
    const std::string name = folder.empty()
                                 ? header.string()
                                 : header.lexically_relative(folder).string();
    EXPECT_NE(build.find("\"" + name + "\""), std::string::npos)
        << folder / "BUILD" << " has no target with " << header;
    ++headers;
  }
  EXPECT_GT(headers, 50);
}

// Umbrella headers, and those that forward to another place.
bool OnlyIncludes(const fs::path& header) {
  const Lines lines = docs::SplitLines(Read(Source() / header));
  return std::all_of(lines.begin(), lines.end(), [](const std::string& line) {
    return line.empty() || line.starts_with("//") || line.starts_with("#");
  });
}

TEST(DocsTest, EveryPublicHeaderHasATestBesideIt) {
  int tested = 0;
  for (const fs::path& header : PublicHeaders()) {
    if (OnlyIncludes(header)) continue;
    const std::vector<fs::path> tests =
        Find(header.parent_path(), [&](const fs::path& path) {
          return path.string().ends_with("_test.cc") &&
                 Read(path).find("#include \"" + header.string() + "\"\n") !=
                     std::string::npos;
        });
    EXPECT_THAT(tests, Not(IsEmpty()))
        << "no test in " << header.parent_path() << " includes " << header;
    ++tested;
  }
  EXPECT_GT(tested, 30);
}

TEST(DocsTest, ReferenceHasEveryPublicHeader) {
  const std::string reference = Read(Source() / "docs/reference.md");
  for (const fs::path& header : PublicHeaders()) {
    EXPECT_NE(reference.find("`" + header.string() + "`"), std::string::npos)
        << "docs/reference.md does not name " << header;
  }
}

// The umbrella of greenback/asio/ is greenback/asio/asio.h, that of util/ is
// util/greenback_util.h: a program that vendors greenback may have a
// util/util.h of its own.
bool IsUmbrella(const fs::path& header) {
  const std::string folder = header.parent_path().filename();
  return header.stem() == folder || header.stem() == "greenback_" + folder;
}

TEST(DocsTest, R39_UmbrellaHeadersIncludeEveryPublicHeaderBesideThem) {
  const std::vector<fs::path> headers = PublicHeaders();
  int umbrellas = 0;
  for (const fs::path& umbrella : headers) {
    if (!IsUmbrella(umbrella)) continue;
    ++umbrellas;
    const std::string text = Read(Source() / umbrella);
    for (const fs::path& header : headers) {
      if (header.parent_path() != umbrella.parent_path() ||
          header == umbrella) {
        continue;
      }
      EXPECT_NE(text.find("#include \"" + header.string() + "\""),
                std::string::npos)
          << umbrella << " does not include " << header;
    }
  }
  EXPECT_GE(umbrellas, 6);
}

// Whether a comment holds code, as docs/header_examples/extract.awk sees it.
bool HasExample(const std::string& text) {
  for (std::string line : docs::SplitLines(text)) {
    line = line.substr(std::min(line.find_first_not_of(' '), line.size()));
    if (!line.starts_with("//   ")) continue;
    std::string code = line.substr(5, line.find(" //", 5) - 5);
    while (code.ends_with(' ')) code.pop_back();
    if (code.ends_with(';') || code.ends_with('{') || code.ends_with('}')) {
      return true;
    }
  }
  return false;
}

// That they compile is what this test is built from; see the BUILD file.
TEST(DocsTest, R39_ExamplesOfPublicHeadersAreCompiled) {
  std::string stages;
  for (const fs::path& stage :
       Find("docs/header_examples",
            [](const auto& path) { return path.extension() == ".cc"; })) {
    stages += Read(Source() / stage);
  }
  int examples = 0;
  for (const fs::path& header : PublicHeaders()) {
    if (!HasExample(Read(Source() / header))) continue;
    EXPECT_NE(stages.find("// EXAMPLE " + header.string() + " 1\n"),
              std::string::npos)
        << header << " has an example that nothing in docs/header_examples/ "
        << "compiles";
    ++examples;
  }
  EXPECT_GT(examples, 30);
}

// "### `header`", and below it rows that begin with "| `Name`".
TEST(DocsTest, ReferenceNamesWhatExists) {
  std::string header;
  std::string text;
  int names = 0;
  for (const std::string& line :
       docs::SplitLines(Read(Source() / "docs/reference.md"))) {
    if (line.starts_with("### `")) {
      header = Between(line, "`", "`").at(0);
      EXPECT_TRUE(fs::exists(Source() / header)) << header;
      text = Read(Source() / header);
    } else if (line.starts_with("| `")) {
      // The last part of a qualified name.
      std::string name = Leading(line, 3, std::string(kLetters) + ":");
      name = name.substr(name.rfind(':') + 1);
      EXPECT_TRUE(HasWord(text, name)) << header << " has no " << name;
      ++names;
    }
  }
  EXPECT_GT(names, 50);
}

// The id at the beginning of a test's name, or of a row: "R08" of
// "R08_EveryStackIsGuarded". Empty if there is none.
std::string IdOf(const std::string& text) {
  const bool has_id = text.size() >= 3 && text[0] >= 'A' && text[0] <= 'Z' &&
                      Leading(text, 1, kDigits).size() == 2;
  return has_id ? text.substr(0, 3) : "";
}

// All tests in the source tree, by suite and name.
std::set<std::pair<std::string, std::string>> Tests() {
  const auto is_name = [](const std::string& text) {
    return !text.empty() &&
           Leading(text, 0, std::string(kLetters) + kDigits) == text;
  };
  std::set<std::pair<std::string, std::string>> tests;
  // A suite that several libraries share is in a header.
  for (const fs::path& file : Find("", IsCpp)) {
    const std::string text = Read(Source() / file);
    // The first is the end of TYPED_TEST, too.
    for (const char* const macro : {"TEST(", "TEST_F(", "TEST_P("}) {
      for (const std::string& arguments : Between(text, macro, ")")) {
        const size_t comma = std::min(arguments.find(','), arguments.size());
        const size_t name = std::min(
            arguments.find_first_not_of(" \n", comma + 1), arguments.size());
        std::pair test(arguments.substr(0, comma), arguments.substr(name));
        if (is_name(test.first) && is_name(test.second)) tests.insert(test);
      }
    }
  }
  return tests;
}

// The rows of docs/behaviour.md: the tests that each names, by its id.
std::map<std::string, Lines> BehaviourRows() {
  std::map<std::string, Lines> rows;
  for (const std::string& line :
       docs::SplitLines(Read(Source() / "docs/behaviour.md"))) {
    const std::string id = line.starts_with("| ") ? IdOf(line.substr(2)) : "";
    if (id.empty()) continue;
    const std::string tests = line.substr(line.rfind(" | "));
    EXPECT_TRUE(rows.emplace(id, Between(tests, "`", "`")).second)
        << "docs/behaviour.md has two rows " << id;
  }
  EXPECT_GE(rows.size(), 80);
  return rows;
}

// "Suite.Name", as documents name a test.
std::pair<std::string, std::string> SplitTest(const std::string& name) {
  const size_t dot = std::min(name.find('.'), name.size());
  return {name.substr(0, dot), name.substr(std::min(dot + 1, name.size()))};
}

TEST(DocsTest, EveryRowOfBehaviourNamesATestThatHoldsIt) {
  const auto tests = Tests();
  for (const auto& [id, names] : BehaviourRows()) {
    int holding = 0;
    for (const std::string& name : names) {
      if (name.starts_with("//")) continue;  // see LabelsExist
      const std::pair test = SplitTest(name);
      EXPECT_TRUE(tests.contains(test))
          << "docs/behaviour.md, row " << id << ": there is no test " << name;
      EXPECT_EQ(IdOf(test.second), id) << name;
      ++holding;
    }
    EXPECT_GT(holding, 0) << "docs/behaviour.md, row " << id << ": no test";
  }
}

// The last section of docs/hosts.md is a table of them, in whose first column
// there are none.
TEST(DocsTest, EveryTestThatHostsNamesExists) {
  const auto tests = Tests();
  const std::string hosts = Read(Source() / "docs/hosts.md");
  const size_t section = hosts.find("\n## The tests\n");
  ASSERT_NE(section, std::string::npos);
  int named = 0;
  for (const std::string& line : docs::SplitLines(hosts.substr(section))) {
    if (!line.starts_with("| ")) continue;
    for (const std::string& name :
         Between(line.substr(line.find(" | ")), "`", "`")) {
      EXPECT_TRUE(tests.contains(SplitTest(name)))
          << "docs/hosts.md: there is no test " << name;
      ++named;
    }
  }
  EXPECT_GT(named, 30);
}

TEST(DocsTest, EveryIdOfATestIsARowOfBehaviour) {
  const std::map<std::string, Lines> rows = BehaviourRows();
  int ids = 0;
  for (const auto& [suite, name] : Tests()) {
    const std::string id = IdOf(name);
    if (id.empty()) continue;
    EXPECT_TRUE(rows.contains(id))
        << suite << "." << name << ": docs/behaviour.md has no row " << id;
    EXPECT_TRUE(name.size() > 4 && name[3] == '_')
        << suite << "." << name << ": write " << id << "_, and a sentence";
    ++ids;
  }
  EXPECT_GT(ids, 500);
}

// --config=noexceptions leaves out targets with the tag: Boost.Asio as a host,
// the benchmarks that compare with it, and tests and examples whose subject
// needs exceptions.
TEST(DocsTest, R15_NothingButAsioNeedsExceptions) {
  int tagged = 0;
  for (const fs::path& file :
       Find("", [](const auto& path) { return path.filename() == "BUILD"; })) {
    for (const std::string& rule : Rules(Read(Source() / file))) {
      const Lines tags = Between(rule, "tags = [", "]");
      if (tags.empty() || !HasWord(tags[0], "exceptions")) continue;
      const std::string name = Between(rule, "name = \"", "\"").at(0);
      const bool may_need_them = file.string().starts_with("greenback/asio/") ||
                                 file.string().starts_with("benchmarks/") ||
                                 name.find("asio") != std::string::npos ||
                                 name == "exception_group_test" ||
                                 name.starts_with("owning_library") ||
                                 name == "qcoro_test" ||
                                 name.starts_with("cobalt_");
      EXPECT_TRUE(may_need_them)
          << file << ": " << name << " must do without exceptions";
      ++tagged;
    }
  }
  EXPECT_GT(tagged, 10);
  EXPECT_NE(Read(Source() / ".ci/run").find("--config=noexceptions"),
            std::string::npos)
      << ".ci/run does not run the tests without exceptions";
}

// "//package:name" or "//package", where a name may be a file's;
// "//package/..." only wants the folder.
TEST(DocsTest, LabelsExist) {
  int labels = 0;
  for (const fs::path& document : Documents()) {
    const std::string text = Read(Source() / document);
    for (size_t at = 0; (at = text.find("//", at)) != std::string::npos;) {
      at += 2;
      const std::string label =
          Leading(text, at, std::string(kLetters) + "/:.");
      const size_t colon = label.find(':');
      const fs::path package = label.substr(0, colon);
      // Neither "https://" nor a comment.
      if (package.empty() || !fs::exists(Source() / *package.begin())) continue;
      SCOPED_TRACE(document.string() + " names //" + label);
      ++labels;
      if (label.ends_with("/...")) {
        EXPECT_TRUE(fs::is_directory(Source() / package.parent_path()));
        continue;
      }
      const std::string name = colon == std::string::npos
                                   ? package.filename().string()
                                   : label.substr(colon + 1);
      const std::string build = Read(Source() / package / "BUILD");
      EXPECT_TRUE(build.find("name = \"" + name + "\"") != std::string::npos ||
                  fs::is_regular_file(Source() / package / name));
    }
  }
  EXPECT_GT(labels, 20);
}

TEST(DocsTest, LinksLeadSomewhere) {
  int links = 0;
  for (const fs::path& document : Documents()) {
    const std::string text = Read(Source() / document);
    for (const std::string& target : Between(text, "](", ")")) {
      // A lambda's parameters; a place in the document; the web.
      if (target.find(' ') != std::string::npos || target[0] == '#' ||
          target.find("://") != std::string::npos) {
        continue;
      }
      EXPECT_TRUE(fs::exists(Source() / document.parent_path() /
                             target.substr(0, target.find('#'))))
          << document << " has a link to " << target;
      ++links;
    }
  }
  EXPECT_GT(links, 5);
}

}  // namespace
