#include "apps/data_picture.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <cmath>

#include "data/measures/histogram.h"
#include "data/pictures/figure.h"
#include "data/pictures/image_file.h"
#include "data/writers/save.h"
#include "tensor/kernels.h"
#include "tensor/random.h"
#include "vapo/particles.h"

namespace vapo::app {
namespace {

namespace fs = std::filesystem;

constexpr int64_t most_points = 5000, most_pairs = 5, most_histograms = 36, most_images = 64;
constexpr int64_t most_pixels = 4'000'000;  // of a grid of images
constexpr int few = 3;                      // tics of a small panel
constexpr const char* colour = "#2171b5";

// A folder for gnuplot's files, which go with it.
struct Scratch {
  fs::path path;
  Scratch() {
    std::string pattern = (fs::temp_directory_path() / "vapo-data-XXXXXX").string();
    if (!::mkdtemp(pattern.data()))
      throw IoError(fmt::format("cannot make a folder in {}", fs::temp_directory_path().string()));
    path = pattern;
  }
  ~Scratch() {
    std::error_code error;
    fs::remove_all(path, error);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

Tensor column(const Tensor& x, int64_t k) { return kernel::slice(x, 1, k, k + 1, 1); }

// Every so many-th row, so that a file in some order shows all of it.
Tensor some_rows(const Tensor& x) {
  if (x.dim(0) <= most_points) return x;
  std::vector<int64_t> places;
  for (int64_t i = 0; i < most_points; ++i) places.push_back(i * x.dim(0) / most_points);
  return kernel::index_select(x, 0, Tensor::from(places, {most_points}));
}

struct Range {
  double low, high;
};
// Of values, with room where all are the same.
Range range_of(const std::vector<double>& v) {
  auto [low, high] = std::minmax_element(v.begin(), v.end());
  double room = *low < *high ? 0 : std::max(0.5, 1e-6 * std::abs(*low));
  return {*low - room, *high + room};
}

std::vector<double> values_of(const Tensor& x) { return x.reshape({x.numel()}).to_vector<double>(); }

void add_histogram(data::Panel& panel, const Tensor& column, int tics) {
  std::vector<double> v = values_of(column);
  Range r = range_of(v);
  auto bins = std::clamp<int64_t>(std::llround(std::sqrt(static_cast<double>(v.size()))), 5, 50);
  data::Histogram h = data::histogram(v, r.low, r.high, bins);
  panel.from_zero().axis('x', r.low, r.high, tics).curve(h.outline_x(), h.outline_y(), "", colour);
}

void add_points(data::Panel& panel, const Tensor& x, const Tensor& y, int tics) {
  Tensor both[] = {x, y};
  Range across = range_of(values_of(x)), up = range_of(values_of(y));
  panel.axis('x', across.low, across.high, tics).axis('y', up.low, up.high, tics);
  panel.points(kernel::concat(both, 1), colour, x.dim(0) < 500 ? 0.6 : 0.3);
}

data::Figure one(const std::string& title, const Tensor& rows, const std::vector<std::string>& names) {
  data::Figure figure(title, 1, 1, 720, 520);
  add_histogram(figure.add("", names[0], "density"), rows, 6);
  return figure;
}

data::Figure two(const std::string& title, const Tensor& rows, const std::vector<std::string>& names, bool equal) {
  data::Figure figure(title, 1, 1, 720, 640);
  data::Panel& panel = figure.add("", names[0], names[1]);
  add_points(panel, column(rows, 0), column(rows, 1), 6);
  if (equal) panel.square(data::Grid::around(rows, 1));
  return figure;
}

// Of small panels: tics of many digits, as of seconds since 1970, take more room.
int panel_width(const Tensor& rows) {
  size_t longest = 0;
  for (int64_t k = 0; k < rows.dim(1); ++k)
    longest =
        std::max(longest, fmt::format("{:.10g}", std::round(range_of(values_of(column(rows, k))).high)).size());
  return longest > 7 ? 420 : 300;
}

data::Figure pairs(const std::string& title, const Tensor& rows, const std::vector<std::string>& names) {
  auto d = static_cast<int>(rows.dim(1));
  data::Figure figure(title, d, d, panel_width(rows), 260);
  for (int i = 0; i < d; ++i)
    for (int j = 0; j < d; ++j) {
      auto name = [&](int k) { return names[static_cast<size_t>(k)]; };
      data::Panel& panel = figure.add("", i == d - 1 || i == j ? name(j) : "", j == 0 && i != j ? name(i) : "");
      if (i == j)
        add_histogram(panel, column(rows, i), few);
      else
        add_points(panel, column(rows, j), column(rows, i), few);
    }
  return figure;
}

data::Figure histograms(const std::string& title, const Tensor& rows, const std::vector<std::string>& names) {
  int64_t shown = std::min(rows.dim(1), most_histograms);
  int across = static_cast<int>(std::ceil(std::sqrt(static_cast<double>(shown))));
  int down = static_cast<int>((shown + across - 1) / across);
  data::Figure figure(title, down, across, panel_width(rows), 240);
  for (int64_t k = 0; k < shown; ++k)
    add_histogram(figure.add("", names[static_cast<size_t>(k)], ""), column(rows, k), few);
  return figure;
}

// The first images of training, as many as that, or as a picture has room for.
Tensor first_images(Dataset& images, int64_t count) {
  int64_t wanted = std::min(count, std::max<int64_t>(4, most_pixels / images.sample_shape().numel()));
  std::vector<Tensor> parts;
  for (int64_t step = 0, have = 0; have < wanted; ++step) {
    Tensor x = images.batch(step).x;
    parts.push_back(kernel::slice(x, 0, 0, std::min(x.dim(0), wanted - have), 1));
    have += parts.back().dim(0);
  }
  return kernel::concat(parts, 0);
}

}  // namespace

std::string draw_rows(const fs::path& file, const std::string& title, const Tensor& all,
                      const std::vector<std::string>& columns, bool equal_units) {
  int64_t d = all.dim(1);
  Tensor rows = d == 1 || d > most_pairs ? all : some_rows(all);
  std::string said = title;
  if (rows.dim(0) < all.dim(0)) said += fmt::format(" ({} of the rows)", rows.dim(0));
  if (d > most_histograms) said += fmt::format(" (the first {} of the columns)", most_histograms);
  std::vector<std::string> names = columns;
  for (int64_t k = static_cast<int64_t>(names.size()); k < d; ++k) names.push_back(fmt::format("column {}", k + 1));
  data::Figure figure = d == 1            ? one(said, rows, names)
                        : d == 2          ? two(said, rows, names, equal_units)
                        : d <= most_pairs ? pairs(said, rows, names)
                                          : histograms(said, rows, names);
  Scratch scratch;
  std::string why_not = figure.draw(scratch.path, "data");
  if (why_not.empty()) data::save_picture(file, data::read_image(scratch.path / "data.png"));
  return why_not;
}

void draw_images(const fs::path& file, Dataset& images, int64_t count) {
  data::save_images(file, {.pixels = data::to_pixels(first_images(images, std::min(count, most_images)))});
}

void draw_path(const fs::path& file, Dataset& images, const Path& path, int64_t count) {
  constexpr int64_t most_rows = 8, times = 9;
  Tensor data = first_images(images, std::min(count, most_rows)), eps = randn(data.shape(), {});
  std::vector<Tensor> columns;
  for (int64_t k = 0; k < times; ++k) {
    Tensor t = Tensor::full({data.dim(0)}, static_cast<double>(k) / (times - 1));
    columns.push_back(particles_of(path, data, eps, t).x);
  }
  Shape shape = data.shape();
  std::vector<Tensor> rows;  // image after image, the times of each
  for (int64_t i = 0; i < shape[0]; ++i)
    for (const Tensor& column : columns) rows.push_back(kernel::slice(column, 0, i, i + 1, 1));
  data::save_images(file, {.pixels = data::to_pixels(kernel::concat(rows, 0)), .columns = times});
}

}  // namespace vapo::app
