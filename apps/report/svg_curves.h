#pragma once
// Curves on a pair of axes as SVG inside a page (plot.html). Colours are the page's: custom properties --ink,
// --rule,
// --curve-1 to --curve-4.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace vapo::app {

struct Curve {
  std::string label;
  std::vector<double> x, y;  // of one length, x ascending; y not finite: a gap
};

struct CurveFigure {
  std::string title;
  std::string note = {};  // a line below, may be empty
  std::string x_label = "step";
  std::vector<Curve> curves;  // at most 4
  enum class Scale { linear, from_zero, logarithmic_if_it_fits } scale = Scale::linear;
};

// A logarithmic axis fits where all values are positive and the largest is 30 times the least or more.
// plot.html of a figure: caption, legend, and an SVG whose title and description (`id` makes theirs unique) say
// what is to be seen; null where no value is finite.
nlohmann::ordered_json plot_view(const CurveFigure& figure, const std::string& id);

// About `wanted` round numbers inside [low, high], low < high: multiples of 1, 2 or 5 times a power of ten.
std::vector<double> round_ticks(double low, double high, int wanted);
// On a logarithmic axis, 0 < low < high: powers of ten, fewer where there are many, and 2 and 5 times them where
// there are few.
std::vector<double> logarithmic_ticks(double low, double high);

}  // namespace vapo::app
