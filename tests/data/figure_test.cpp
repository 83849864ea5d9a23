#include "data/pictures/figure.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "tensor/io/atomic_file.h"

using namespace vapo;
namespace fs = std::filesystem;

TEST_CASE("a picture that gnuplot cannot finish does not appear") {
  if (std::system("command -v gnuplot >/dev/null") != 0) {
    MESSAGE("skipped: no gnuplot");
    return;
  }
  std::string pattern = (fs::temp_directory_path() / "vapo-figure-XXXXXX").string();
  REQUIRE(::mkdtemp(pattern.data()));
  data::Figure figure("title", 1, 1);
  figure.add("panel", "x", "y").curve({0, 1, 2}, {0, 1, 0}, "curve", "#2171b5");
  struct rlimit old {};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit low{.rlim_cur = 4096, .rlim_max = old.rlim_max};  // room for the data and the script
  REQUIRE(setrlimit(RLIMIT_FSIZE, &low) == 0);
  CHECK(figure.draw(pattern, "f") != "");
  CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
  std::signal(SIGXFSZ, handler);
  CHECK(fs::exists(fs::path(pattern) / "f.gp"));
  CHECK_FALSE(fs::exists(fs::path(pattern) / "f.png"));
  CHECK(figure.draw(pattern, "f") == "");
  CHECK(read_whole_file(fs::path(pattern) / "f.png").size() > 4096);
  for (const auto& entry : fs::directory_iterator(pattern))
    CHECK_MESSAGE(!entry.path().filename().string().starts_with('.'), entry.path().string());
  fs::remove_all(pattern);
}
