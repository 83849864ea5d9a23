#include "apps/report/svg_curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "apps/report/html.h"

namespace vapo::app {
namespace {

using Json = nlohmann::ordered_json;
using Scale = CurveFigure::Scale;

constexpr double kWidth = 420, kHeight = 250, kTop = 10, kBottom = 34, kRight = 12;
constexpr double kLetter = 6.6;  // width of a digit of the ticks

std::string place(double v) { return fmt::format("{:.1f}", v); }

struct Range {
  double low = INFINITY, high = -INFINITY;
  void include(double v) {
    if (!std::isfinite(v)) return;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  bool empty() const { return low > high; }
  // Also where the values differ by rounding alone: ticks between them could not be told apart.
  void widen_if_a_point() {
    constexpr double kLeast = 1e-300;
    double size = std::max(std::abs(low), std::abs(high));
    if (high - low > std::max(1e-9 * size, kLeast)) return;
    double margin = size > kLeast ? 0.1 * size : 1;
    low -= margin;
    high += margin;
  }
};

// From values to places on the page.
struct Axis {
  Range range;
  bool logarithmic = false;
  double begin = 0, end = 0;       // places of range.low and range.high
  std::vector<double> ticks = {};  // values
  double operator()(double v) const {
    double share = logarithmic ? (std::log(v) - std::log(range.low)) / (std::log(range.high) - std::log(range.low))
                               : (v - range.low) / (range.high - range.low);
    return begin + share * (end - begin);
  }
};

struct Extent {
  Range x, y;
  size_t values = 0;
};

Extent extent_of(const std::vector<Curve>& curves) {
  Extent e;
  for (const Curve& c : curves) {
    for (size_t i = 0; i < c.x.size(); ++i) {
      if (!std::isfinite(c.y[i])) continue;
      e.x.include(c.x[i]);
      e.y.include(c.y[i]);
      ++e.values;
    }
  }
  return e;
}

Axis y_axis(Range range, Scale scale) {
  Axis axis{.range = range, .begin = kHeight - kBottom, .end = kTop};
  axis.logarithmic = scale == Scale::logarithmic_if_it_fits && range.low > 0 && range.high >= 30 * range.low;
  if (axis.logarithmic) {
    axis.range = {range.low / 1.1, range.high * 1.1};
    return axis;
  }
  if (scale == Scale::from_zero) range.include(0);
  range.widen_if_a_point();
  double margin = 0.04 * (range.high - range.low);
  bool at_zero = scale == Scale::from_zero;
  axis.range = {at_zero && range.low == 0 ? 0 : range.low - margin, range.high + margin};
  return axis;
}

// The points of a curve by columns half a unit wide: of many points in one, the first, the least, the largest and
// the last. A gap is a point whose y is not finite.
std::vector<size_t> visible_points(const Curve& c, const Axis& x) {
  std::vector<size_t> kept;
  for (size_t begin = 0; begin < c.x.size();) {
    double column = std::floor(2 * x(c.x[begin]));
    size_t end = begin, least = begin, largest = begin;
    bool gap = false;
    for (; end < c.x.size() && std::floor(2 * x(c.x[end])) == column; ++end) {
      gap |= !std::isfinite(c.y[end]);
      if (c.y[end] < c.y[least]) least = end;
      if (c.y[end] > c.y[largest]) largest = end;
    }
    std::vector<size_t> some = {begin, least, largest, end - 1};
    if (gap || end - begin <= some.size()) {
      some.resize(end - begin);
      for (size_t i = 0; i < some.size(); ++i) some[i] = begin + i;
    }
    std::sort(some.begin(), some.end());
    some.erase(std::unique(some.begin(), some.end()), some.end());
    kept.insert(kept.end(), some.begin(), some.end());
    begin = end;
  }
  return kept;
}

Json curve_view(const Curve& c, size_t number, const Axis& x, const Axis& y) {
  constexpr size_t kMarked = 24;  // so few points are marked
  std::string path;
  Json points = Json::array();
  size_t values =
      static_cast<size_t>(std::count_if(c.y.begin(), c.y.end(), [](double v) { return std::isfinite(v); }));
  bool open = false;
  for (size_t i : visible_points(c, x)) {
    if (!std::isfinite(c.y[i])) {
      open = false;
      continue;
    }
    std::string px = place(x(c.x[i])), py = place(y(c.y[i]));
    path += fmt::format("{}{} {}", open ? "L" : "M", px, py);
    open = true;
    if (values <= kMarked) points.push_back({{"x", px}, {"y", py}});
  }
  return {{"number", number}, {"label", c.label}, {"path", path}, {"points", points}};
}

// As many digits as tell neighbouring ticks apart.
std::string tick_label(const Axis& axis, double v) {
  if (axis.logarithmic || axis.ticks.size() < 2) return rounded(v);
  double step = axis.ticks[1] - axis.ticks[0];
  double largest = std::max(std::abs(axis.ticks.front()), std::abs(axis.ticks.back()));
  return rounded(v, 2 + static_cast<int>(std::log10(largest / step)));
}

size_t letters_in(const std::string& utf8) {
  return static_cast<size_t>(std::count_if(utf8.begin(), utf8.end(),
                                           [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// What a curve shows, in words.
std::string description(const Curve& c) {
  std::optional<size_t> first, last, least, largest;
  for (size_t i = 0; i < c.y.size(); ++i) {
    if (!std::isfinite(c.y[i])) continue;
    if (!first) first = least = largest = i;
    last = i;
    if (c.y[i] < c.y[*least]) least = i;
    if (c.y[i] > c.y[*largest]) largest = i;
  }
  if (!first) return fmt::format("{}: no finite value.", c.label);
  auto at = [&](size_t i) { return fmt::format("{} at {}", rounded(c.y[i]), rounded(c.x[i], 7)); };
  return fmt::format("{}: {} first, {} last; least {}, largest {}.", c.label, at(*first), at(*last), at(*least),
                     at(*largest));
}

}  // namespace

std::vector<double> round_ticks(double low, double high, int wanted) {
  double rough = (high - low) / std::max(1, wanted), power = std::pow(10, std::floor(std::log10(rough)));
  double step = power * (rough <= 1.5 * power ? 1 : rough <= 3.5 * power ? 2 : rough <= 7.5 * power ? 5 : 10);
  std::vector<double> ticks;
  double slack = 1e-9 * step;
  for (double i = std::ceil((low - slack) / step); i * step <= high + slack; ++i)
    ticks.push_back(i == 0 ? 0 : i * step);
  return ticks;
}

std::vector<double> logarithmic_ticks(double low, double high) {
  double decades = std::log10(high) - std::log10(low);
  int every = std::max(1, static_cast<int>(std::ceil(decades / 6)));
  std::vector<double> ticks;
  for (int e = static_cast<int>(std::floor(std::log10(low))); e <= std::ceil(std::log10(high)); ++e) {
    if (e % every != 0) continue;
    for (double factor : {1.0, 2.0, 5.0}) {
      if (factor > 1 && decades > 2.5) break;
      double v = factor * std::pow(10, e);
      if (v >= low * (1 - 1e-12) && v <= high * (1 + 1e-12)) ticks.push_back(v);
    }
  }
  return ticks;
}

Json plot_view(const CurveFigure& figure, const std::string& id) {
  Extent extent = extent_of(figure.curves);
  if (extent.values == 0) return nullptr;
  Axis y = y_axis(extent.y, figure.scale);
  y.ticks =
      y.logarithmic ? logarithmic_ticks(y.range.low, y.range.high) : round_ticks(y.range.low, y.range.high, 5);
  size_t letters = 1;
  for (double v : y.ticks) letters = std::max(letters, letters_in(tick_label(y, v)));
  extent.x.widen_if_a_point();
  Axis x{.range = extent.x,
         .begin = kLetter * static_cast<double>(letters) + 10,
         .end = kWidth - kRight,
         .ticks = round_ticks(extent.x.low, extent.x.high, 5)};
  auto cut_off = [&](double v) {
    return x(v) + kLetter / 2 * static_cast<double>(letters_in(tick_label(x, v))) > kWidth;
  };
  if (x.ticks.size() > 1 && cut_off(x.ticks.back())) x.ticks.pop_back();

  std::string words = y.logarithmic ? "Logarithmic axis. " : "", note = figure.note;
  if (y.logarithmic) note += note.empty() ? "Logarithmic axis." : " Logarithmic axis.";
  Json curves = Json::array(), x_ticks = Json::array(), y_ticks = Json::array();
  for (const Curve& c : figure.curves) {
    words += description(c) + " ";
    curves.push_back(curve_view(c, curves.size() + 1, x, y));
  }
  for (double v : y.ticks)
    y_ticks.push_back({{"y", place(y(v))}, {"text_y", place(y(v) + 3.8)}, {"label", tick_label(y, v)}});
  for (double v : x.ticks) x_ticks.push_back({{"x", place(x(v))}, {"label", tick_label(x, v)}});
  return {{"id", id},
          {"title", figure.title},
          {"keys", curves.size() > 1 ? curves : Json::array()},
          {"width", fmt::format("{}", kWidth)},
          {"height", fmt::format("{}", kHeight)},
          {"words", words},
          {"left", place(x.begin)},
          {"right", place(x.end)},
          {"bottom", place(y.begin)},
          {"y_text_x", place(x.begin - 6)},
          {"y_ticks", y_ticks},
          {"x_text_y", place(y.begin + 16)},
          {"x_ticks", x_ticks},
          {"x_label", figure.x_label},
          {"x_label_y", fmt::format("{}", kHeight - 4)},
          {"curves", curves},
          {"note", note}};
}

}  // namespace vapo::app
