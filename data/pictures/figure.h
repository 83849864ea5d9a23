#pragma once
// Figures drawn by gnuplot from data files that stay beside them: NAME.png, NAME.gp (the script) and NAME-*.dat.
// `gnuplot NAME.gp` in that folder draws the figure again.

#include <filesystem>
#include <string>
#include <vector>

#include "data/measures/statistics.h"
#include "tensor/tensor.h"

namespace vapo::data {

// One pair of axes. Layers are drawn in the order they were added.
class Panel {
 public:
  Panel& heat(const Grid& grid, const std::vector<double>& values);  // values in Grid::centres' order
  Panel& contours(const Grid& grid, const std::vector<double>& values, int levels = 12);
  Panel& points(const Tensor& xy, const std::string& colour = "#d62728", double size = 0.25);  // (N,2)
  Panel& trails(const std::vector<Tensor>& positions, const std::string& colour);  // (N,2) at successive times
  Panel& curve(const std::vector<double>& x, const std::vector<double>& y, const std::string& label,
               const std::string& colour);
  Panel& square(const Grid& window);  // equal units on both axes, this window
  // 'x' or 'y' from low to high and a little beyond, with about so many tics at round numbers, in all their digits.
  Panel& axis(char which, double low, double high, int tics);
  Panel& logarithmic_y();
  Panel& from_zero();    // the y axis starts at 0
  Panel& legend_left();  // instead of right

 private:
  friend class Figure;
  struct Layer {
    enum class Kind { heat, contours, points, trails, curve } kind;
    std::string data;  // the text of the data file
    std::string style, label;
  };
  std::string title_, x_label_, y_label_;
  std::vector<Layer> layers_;
  std::string settings_;
  double aspect_ = 0;  // height by width of a window in equal units
};

class Figure {
 public:
  // Panels fill rows × columns from the top left, each `width` × at most `height` pixels.
  Figure(std::string title, int rows, int columns, int width = 480, int height = 480);
  Panel& add(const std::string& title, const std::string& x_label, const std::string& y_label);
  // Writes FOLDER/NAME.gp and its data files, runs gnuplot, and renames the finished picture to FOLDER/NAME.png.
  // Gives nothing where it is there; else why not, in one line (gnuplot is missing, or fails): script and data then
  // stay, and no earlier NAME.png, which would be of other data. Throws IoError where script or data cannot be written.
  [[nodiscard]] std::string draw(const std::filesystem::path& folder, const std::string& name) const;

 private:
  std::string title_;
  int rows_, columns_, width_, height_;
  std::vector<Panel> panels_;
};

}  // namespace vapo::data
