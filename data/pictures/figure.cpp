#include "data/pictures/figure.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/printable.h"

extern char** environ;

namespace vapo::data {
namespace {

// gnuplot's text of a label: its enhanced mode is off, so only quotes and backslashes need care.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 32 ? ' ' : c;
  }
  return out + "\"";
}

std::string xyz(const Grid& grid, const std::vector<double>& values) {
  VAPO_CHECK(static_cast<int64_t>(values.size()) == grid.cells * grid.cells,
             "[figure] {} values on a grid of {} cells a side", values.size(), grid.cells);
  Tensor centres = grid.centres();
  const double* c = centres.data<double>();
  fmt::memory_buffer out;
  for (int64_t i = 0; i < grid.cells * grid.cells; ++i) {
    if (i > 0 && i % grid.cells == 0) out.push_back('\n');  // an empty line ends a row
    fmt::format_to(fmt::appender(out), "{:.5g} {:.5g} {:.5g}\n", c[2 * i], c[2 * i + 1], values[i]);
  }
  return fmt::to_string(out);
}

// The first line of what is written into a pipe, until its other end is closed.
std::string first_line_from(int pipe) {
  std::string text;
  char some[4096];
  for (ssize_t n; (n = ::read(pipe, some, sizeof some)) > 0 || (n < 0 && errno == EINTR);)
    if (n > 0 && text.size() < sizeof some) text.append(some, static_cast<size_t>(n));
  size_t begin = text.find_first_not_of(" \t\r\n");
  return begin == std::string::npos ? "" : printable(text.substr(begin, text.find('\n', begin) - begin), 200);
}

// Runs NAME.gp in the folder, with the picture to `output`; why there is none, or nothing.
std::string run_gnuplot(const std::filesystem::path& folder, const std::string& name, const std::string& output) {
  int messages[2];
  if (pipe2(messages, O_CLOEXEC) != 0) return std::strerror(errno);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, messages[1], 2);
  std::string set_output = fmt::format("picture='{}'", output), script = name + ".gp";
  std::array<std::string, 4> words = {"gnuplot", "-e", set_output, script};
  std::array<char*, 5> arguments = {words[0].data(), words[1].data(), words[2].data(), words[3].data(), nullptr};
  pid_t child = 0;
  int error = posix_spawnp(&child, "gnuplot", &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(messages[1]);
  std::string said = error == 0 ? first_line_from(messages[0]) : "";
  ::close(messages[0]);
  if (error != 0) return fmt::format("gnuplot cannot be started ({})", std::strerror(error));
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) return fmt::format("gnuplot was ended by signal {}", WTERMSIG(status));
  if (WEXITSTATUS(status) == 0) return "";
  return fmt::format("gnuplot failed with exit code {}{}{}", WEXITSTATUS(status), said.empty() ? "" : ": ", said);
}

// A PNG from its first bytes to its last chunk: gnuplot does not tell of a full disk.
bool is_whole_png(const std::filesystem::path& file) {
  std::string bytes = read_whole_file(file);
  return bytes.starts_with("\x89PNG\r\n\x1a\n") && bytes.ends_with("IEND\xae\x42\x60\x82");
}

}  // namespace

Panel& Panel::heat(const Grid& grid, const std::vector<double>& values) {
  layers_.push_back({Layer::Kind::heat, xyz(grid, values), "using 1:2:3 with image notitle", ""});
  return *this;
}

Panel& Panel::contours(const Grid& grid, const std::vector<double>& values, int levels) {
  layers_.push_back({Layer::Kind::contours, xyz(grid, values), fmt::format("{}", levels), ""});
  return *this;
}

Panel& Panel::points(const Tensor& xy, const std::string& colour, double size) {
  VAPO_CHECK(xy.rank() == 2 && xy.dim(1) == 2, "[figure] points must be (N,2), not {}", xy.shape().str());
  fmt::memory_buffer out;
  for (int64_t i = 0; i < xy.dim(0); ++i) {
    fmt::format_to(fmt::appender(out), "{:.10g} {:.10g}\n", xy.at(2 * i), xy.at(2 * i + 1));
  }
  layers_.push_back({Layer::Kind::points, fmt::to_string(out),
                     fmt::format("using 1:2 with points pt 7 ps {} lc rgb '{}' notitle", size, colour), ""});
  return *this;
}

Panel& Panel::trails(const std::vector<Tensor>& positions, const std::string& colour) {
  fmt::memory_buffer out;
  int64_t particles = positions.empty() ? 0 : positions.front().dim(0);
  for (int64_t i = 0; i < particles; ++i) {
    for (const Tensor& x : positions) {
      fmt::format_to(fmt::appender(out), "{:.5g} {:.5g}\n", x.at(2 * i), x.at(2 * i + 1));
    }
    out.push_back('\n');  // a gap: the next particle
  }
  layers_.push_back({Layer::Kind::trails, fmt::to_string(out),
                     fmt::format("using 1:2 with lines lw 0.6 lc rgb '{}' notitle", colour), ""});
  return *this;
}

Panel& Panel::curve(const std::vector<double>& x, const std::vector<double>& y, const std::string& label,
                    const std::string& colour) {
  VAPO_CHECK(x.size() == y.size(), "[figure] a curve of {} abscissae and {} values", x.size(), y.size());
  fmt::memory_buffer out;
  for (size_t i = 0; i < x.size(); ++i) fmt::format_to(fmt::appender(out), "{:.10g} {:.10g}\n", x[i], y[i]);
  std::string title = label.empty() ? "notitle" : "title " + quoted(label);
  layers_.push_back({Layer::Kind::curve, fmt::to_string(out),
                     fmt::format("using 1:2 with lines lw 1.5 lc rgb '{}' {}", colour, title), label});
  return *this;
}

Panel& Panel::square(const Grid& w) {
  aspect_ = (w.y_high - w.y_low) / (w.x_high - w.x_low);
  settings_ += fmt::format("set size ratio -1\nset xrange [{:.6g}:{:.6g}]\nset yrange [{:.6g}:{:.6g}]\n", w.x_low,
                           w.x_high, w.y_low, w.y_high);
  return *this;
}

Panel& Panel::axis(char which, double low, double high, int tics) {
  VAPO_CHECK(low < high && tics >= 1, "[figure] an axis from {} to {} with {} tics", low, high, tics);
  double step = std::pow(10, std::floor(std::log10((high - low) / tics))), margin = 0.04 * (high - low);
  for (double factor : {2.0, 2.5, 2.0})  // 1, 2, 5, 10
    if ((high - low) / step > tics) step *= factor;
  settings_ += fmt::format("set {0}range [{1}:{2}]\nset {0}tics {3},{4}\nset format {0} '%.10g'\n", which,
                           low - margin, high + margin, std::ceil(low / step) * step, step);
  return *this;
}

Panel& Panel::logarithmic_y() {
  settings_ += "set logscale y\n";
  return *this;
}

Panel& Panel::from_zero() {
  settings_ += "set yrange [0:*]\n";
  return *this;
}

Panel& Panel::legend_left() {
  settings_ += "set key top left\n";
  return *this;
}

Figure::Figure(std::string title, int rows, int columns, int width, int height)
    : title_(std::move(title)), rows_(rows), columns_(columns), width_(width), height_(height) {
  panels_.reserve(static_cast<size_t>(rows * columns));  // references that add() gives stay good
}

Panel& Figure::add(const std::string& title, const std::string& x_label, const std::string& y_label) {
  VAPO_CHECK(panels_.size() < panels_.capacity(), "[figure] more panels than {} x {}", rows_, columns_);
  Panel& panel = panels_.emplace_back();
  panel.title_ = title;
  panel.x_label_ = x_label;
  panel.y_label_ = y_label;
  return panel;
}

std::string Figure::draw(const std::filesystem::path& folder, const std::string& name) const {
  // Room for tics, labels and the title of a panel, in pixels; a panel of equal units takes the height it needs.
  constexpr double beside = 95, above_and_below = 100;
  double height = height_;
  for (const Panel& panel : panels_) {
    if (panel.aspect_ > 0) height = std::min(height, panel.aspect_ * (width_ - beside) + above_and_below);
  }
  std::string script = fmt::format(
      "# Redraw with: gnuplot {0}.gp\n"
      "if (!exists(\"picture\")) picture = \"{0}.png\"\n"
      "set terminal pngcairo noenhanced size {1},{2} font 'sans,11' background '#ffffff'\n"
      "set output picture\n"
      "set palette defined (0 '#ffffff', 0.25 '#c6dbef', 0.5 '#6baed6', 0.75 '#2171b5', 1 '#08306b')\n"
      "unset colorbox\nset tics nomirror out\nset border lw 0.8\nset key top right opaque\n"
      "set multiplot layout {3},{4} title {5} font 'sans,14'\n",
      name, columns_ * width_, rows_ * static_cast<int>(height) + 40, rows_, columns_, quoted(title_));
  int file_count = 0;
  for (const Panel& panel : panels_) {
    std::string plots, before;
    for (const Panel::Layer& layer : panel.layers_) {
      std::string file = fmt::format("{}-{}.dat", name, ++file_count);
      std::string_view pieces[] = {layer.data};
      write_file_atomically(folder / file, pieces);
      std::string source = fmt::format("'{}' ", file);
      std::string style = layer.style;
      if (layer.kind == Panel::Layer::Kind::contours) {
        // gnuplot computes contour lines once into a block, which is then drawn like any data.
        before += fmt::format(
            "set contour base\nset cntrparam levels auto {}\nunset surface\nset table $contours{}\n"
            "splot '{}' using 1:2:3 notitle\nunset table\nunset contour\nset surface\n",
            layer.style, file_count, file);
        source = fmt::format("$contours{} ", file_count);
        style = "using 1:2 with lines lw 0.5 lc rgb '#777777' notitle";
      }
      plots += (plots.empty() ? "plot " : ", \\\n     ") + source + style;
    }
    script += fmt::format("\nset title {}\nset xlabel {}\nset ylabel {}\n{}{}{}\n", quoted(panel.title_),
                          quoted(panel.x_label_), quoted(panel.y_label_), before, panel.settings_, plots);
    script +=
        "unset logscale\nset format '% h'\nset tics autofreq\nset size noratio\nset autoscale\nset key top right\n";
  }
  script += "\nunset multiplot\nunset output\n";
  std::string_view pieces[] = {script};
  write_file_atomically(folder / (name + ".gp"), pieces);
  TemporaryFile picture(folder / (name + ".png"));
  std::error_code error;
  std::filesystem::remove(folder / (name + ".png"), error);
  std::string why_not = run_gnuplot(folder, name, picture.name().filename().string());
  if (why_not.empty() && !is_whole_png(picture.name()))
    why_not = "gnuplot left no whole picture: is there room on the disk?";
  if (why_not.empty()) picture.put_in_place();
  return why_not;
}

}  // namespace vapo::data
