// Arrows between folders run one way: a file includes what its layer rests on,
// and no other package's internal/.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace {

namespace fs = std::filesystem;

fs::path Source() {
  static const auto* const source =
      new fs::path(fs::canonical("tests/layers/BUILD").parent_path() / "../..");
  return *source;
}

// The longest prefix of a file's path that is here is its layer.
const std::map<std::string, std::string>& Layers() {
  static const auto* const layers = new std::map<std::string, std::string>{
      // No policy: includes nothing of ours.
      {"greenback/internal/", "base"},
      {"greenback/abandoned.h", "base"},
      {"greenback/awaitable.h", "base"},
      {"greenback/portal_error.h", "base"},
      {"greenback/context/", "context"},
      {"greenback/host/", "host"},
      {"greenback/", "greenback"},
      // The machinery of greenback/'s own headers.
      {"greenback/internal/await_impl.", "greenback"},
      {"greenback/internal/callback_awaiter.", "greenback"},
      {"greenback/internal/callback_state.", "greenback"},
      {"greenback/internal/coroutine_library_impl.", "greenback"},
      {"greenback/internal/portal_awaiters.", "greenback"},
      {"greenback/internal/portal_options_call.", "greenback"},
      {"greenback/runtime/", "runtime"},
      {"greenback/asio/", "asio"},
      {"greenback/senders/", "senders"},
      // The umbrella over the portal manager and the runtime.
      {"greenback/greenback.h", "umbrella"},
      {"instrument/", "instrument"},
      {"util/", "util"},
  };
  return *layers;
}

// What each layer may include, besides itself.
const std::map<std::string, std::set<std::string>>& Arrows() {
  static const auto* const arrows =
      new std::map<std::string, std::set<std::string>>{
          {"base", {}},
          {"context", {"base"}},
          {"host", {"base", "context"}},
          {"greenback", {"base", "context", "host"}},
          {"runtime", {"base", "context", "host", "greenback"}},
          {"asio", {"base", "context", "host", "greenback"}},
          {"senders", {"base", "context", "host", "greenback"}},
          {"umbrella", {"base", "host", "greenback", "runtime"}},
          {"instrument", {"base", "host", "greenback", "runtime"}},
          {"util", {"base", "host", "greenback"}},
      };
  return *arrows;
}

std::string LayerOf(const std::string& path) {
  std::string longest;
  std::string layer;
  for (const auto& [prefix, name] : Layers()) {
    if (path.starts_with(prefix) && prefix.size() > longest.size()) {
      longest = prefix;
      layer = name;
    }
  }
  return layer;
}

// "greenback/asio" for a file below greenback/asio/internal/; "" for one that
// is in no internal/. What is in greenback/internal/ is for all of us.
std::string OwnerOf(const std::string& path) {
  const size_t at = path.find("/internal/");
  const std::string owner = at == std::string::npos ? "" : path.substr(0, at);
  return owner == "greenback" ? "" : owner;
}

// Tests may look into everything that they test.
bool IsTest(const std::string& path) {
  return path.find("_test.") != std::string::npos ||
         path.find("_for_test.") != std::string::npos ||
         path.find("/testing/") != std::string::npos;
}

struct Include {
  std::string file;
  std::string included;
};

std::vector<Include> Includes() {
  std::vector<Include> includes;
  for (const char* const folder : {"greenback", "instrument", "util"}) {
    for (const auto& entry :
         fs::recursive_directory_iterator(Source() / folder)) {
      const fs::path& path = entry.path();
      if (path.extension() != ".h" && path.extension() != ".cc") continue;
      const std::string file = path.lexically_relative(Source());
      if (IsTest(file)) continue;
      std::ifstream lines(path);
      for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with("#include \"")) continue;
        const std::string included = line.substr(10, line.find('"', 10) - 10);
        if (!LayerOf(included).empty()) includes.push_back({file, included});
      }
    }
  }
  return includes;
}

TEST(LayersTest, EveryIncludePointsDownwards) {
  const std::vector<Include> includes = Includes();
  EXPECT_GT(includes.size(), 300);
  for (const auto& [file, included] : includes) {
    const std::string layer = LayerOf(file);
    const std::string below = LayerOf(included);
    EXPECT_TRUE(below == layer || Arrows().at(layer).contains(below))
        << file << " is of the layer " << layer << " and includes " << included
        << ", which is of the layer " << below
        << "; see the map in docs/design.md";
  }
}

TEST(LayersTest, NobodyIncludesTheInternalsOfAnotherPackage) {
  int internals = 0;
  for (const auto& [file, included] : Includes()) {
    const std::string owner = OwnerOf(included);
    if (owner.empty()) continue;
    ++internals;
    EXPECT_TRUE(file.starts_with(owner + "/"))
        << file << " includes " << included << ", which is internal to "
        << owner << "/";
  }
  EXPECT_GT(internals, 20);
}

TEST(LayersTest, ArrowsDoNotRunInCircles) {
  for (const auto& [layer, below] : Arrows()) {
    for (const std::string& other : below) {
      EXPECT_FALSE(Arrows().at(other).contains(layer))
          << layer << " and " << other << " include each other";
    }
  }
}

TEST(LayersTest, HeaderGuardsAreOurs) {
  int headers = 0;
  for (const char* const folder :
       {"benchmarks", "docs", "greenback", "instrument", "tests", "util"}) {
    for (fs::recursive_directory_iterator entry(Source() / folder), end;
         entry != end; ++entry) {
      // A workspace of its own has guards of its own.
      if (fs::exists(entry->path() / "WORKSPACE")) {
        entry.disable_recursion_pending();
      }
      if (entry->path().extension() != ".h") continue;
      ++headers;
      const std::string file = entry->path().lexically_relative(Source());
      std::string guard = file.starts_with("greenback/") ? "" : "GREENBACK_";
      for (const char c : file) {
        guard += std::isalnum(c) ? static_cast<char>(std::toupper(c)) : '_';
      }
      std::ifstream lines(entry->path());
      std::set<std::string> text;
      for (std::string line; std::getline(lines, line);) text.insert(line);
      EXPECT_TRUE(text.contains("#ifndef " + guard + "_")) << file;
      EXPECT_TRUE(text.contains("#define " + guard + "_")) << file;
    }
  }
  EXPECT_GT(headers, 80);
}

}  // namespace
