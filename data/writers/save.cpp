#include "data/writers/save.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "data/pictures/image_file.h"
#include "data/readers/npz.h"
#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/npy.h"
#include "tensor/io/printable.h"
#include "tensor/kernels.h"

namespace vapo::data {
namespace {

namespace fs = std::filesystem;

void write_text(const fs::path& file, const std::string& bytes) {
  std::string_view pieces[] = {bytes};
  write_file_atomically(file, pieces);
}

std::vector<std::string> names_of_columns(const SavedRows& rows) {
  std::vector<std::string> names = rows.columns;
  for (int64_t k = 0; rows.columns.empty() && k < rows.values.dim(1); ++k)
    names.push_back(fmt::format("x{}", k + 1));
  VAPO_CHECK(static_cast<int64_t>(names.size()) == rows.values.dim(1), "[save_rows] {} names of {} columns",
             names.size(), rows.values.dim(1));
  return names;
}

// A field of text, in quotes where it would read as something else.
std::string field(const std::string& text) {
  bool plain = !text.empty() && text.find_first_of(",;\"\t\r\n|") == text.npos && text.find_first_of("# ") != 0 &&
               text.back() != ' ';
  if (plain) return text;
  std::string out = "\"";
  for (char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

void write_csv(const fs::path& file, const SavedRows& rows) {
  fmt::memory_buffer out;
  auto to = fmt::appender(out);
  bool indexed = !rows.index_name.empty();
  if (indexed) fmt::format_to(to, "{},", field(rows.index_name));
  std::vector<std::string> names = names_of_columns(rows);
  for (size_t k = 0; k < names.size(); ++k) fmt::format_to(to, "{}{}", k > 0 ? "," : "", field(names[k]));
  out.push_back('\n');
  Tensor x = rows.values.to(Device::cpu);
  dispatch_floating(x.dtype(), [&]<class T>() {
    const T* at = x.data<T>();
    for (int64_t i = 0; i < x.dim(0); ++i) {
      if (indexed && !rows.index_text.empty())
        fmt::format_to(to, "{},", field(rows.index_text[static_cast<size_t>(i)]));
      else if (indexed)
        fmt::format_to(to, "{},", rows.index.data<int64_t>()[i]);
      for (int64_t k = 0; k < x.dim(1); ++k) fmt::format_to(to, "{}{}", k > 0 ? "," : "", *at++);
      out.push_back('\n');
    }
  });
  write_text(file, fmt::to_string(out));
}

void write_rows_npy(const fs::path& file, const SavedRows& rows) {
  Tensor x = rows.values.to(Device::cpu);
  if (rows.index_name.empty()) return write_npy(file, x);
  Tensor columns[] = {rows.index.reshape({x.dim(0), 1}).to(DType::f64), x.to(DType::f64)};
  write_npy(file, kernel::concat(columns, 1));
}

void write_rows_npz(const fs::path& file, const SavedRows& rows) {
  Tensor x = rows.values.to(Device::cpu);
  if (rows.index_name.empty()) return write_npz(file, {{"arr_0", x}});
  Arrays arrays = {{rows.index_name, rows.index}};
  std::vector<std::string> names = names_of_columns(rows);
  for (size_t k = 0; k < names.size(); ++k) {
    auto column = static_cast<int64_t>(k);
    arrays[names[k]] = kernel::slice(x, 1, column, column + 1, 1).reshape({x.dim(0)});
  }
  write_npz(file, arrays);
}

void write_images_npz(const fs::path& file, const SavedImages& images) {
  Arrays arrays = {{"arr_0", images.pixels}};
  if (images.labels.defined()) arrays["arr_1"] = images.labels;
  write_npz(file, arrays);
}

void write_jpeg(const fs::path& file, const Tensor& image) { write_text(file, encode_jpeg(image)); }

template <void (*write)(const fs::path&, const Tensor&)>
void write_grid(const fs::path& file, const SavedImages& images) {
  write(file, image_grid(images.pixels, images.columns));
}

template <class T>
struct Writer {
  std::string_view ending;
  void (*write)(const fs::path& file, const T& what);
};
constexpr Writer<SavedRows> of_rows[] = {{".csv", write_csv}, {".npy", write_rows_npy}, {".npz", write_rows_npz}};
constexpr Writer<SavedImages> of_images[] = {
    {".npy", [](const fs::path& file, const SavedImages& images) { write_npy(file, images.pixels); }},
    {".npz", write_images_npz},
    {".png", write_grid<write_png>},
    {".jpg", write_grid<write_jpeg>},
    {".jpeg", write_grid<write_jpeg>}};
constexpr Writer<Tensor> of_pictures[] = {{".png", write_png}, {".jpg", write_jpeg}, {".jpeg", write_jpeg}};

std::string ending_of(const fs::path& file) {
  std::string ending = file.extension().string();
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return ending;
}

template <class Writers>
std::vector<std::string> endings(const Writers& writers) {
  std::vector<std::string> out;
  for (const auto& w : writers) out.emplace_back(w.ending);
  return out;
}

std::vector<std::string> all_endings(Contents what) {
  switch (what) {
    case Contents::rows:
      return endings(of_rows);
    case Contents::images:
      return endings(of_images);
    case Contents::picture:
      return endings(of_pictures);
    case Contents::statistics:
      return {".npz"};
  }
  return {};
}

constexpr std::string_view noun(Contents what) {
  return what == Contents::rows      ? "rows of numbers are"
         : what == Contents::images  ? "images are"
         : what == Contents::picture ? "a picture is"
                                     : "statistics are";
}

template <class Writers, class T>
void write_by_ending(const Writers& writers, Contents kind, const fs::path& file, const T& what) {
  for (const auto& w : writers)
    if (w.ending == ending_of(file)) return w.write(file, what);
  check_target(file, kind, "save");  // throws: it has another ending
}

}  // namespace

std::string endings_of(Contents what) {
  std::vector<std::string> all = all_endings(what);
  if (all.size() == 1) return all[0];
  return fmt::format("{} or {}", fmt::join(all.begin(), all.end() - 1, ", "), all.back());
}

void check_target(const fs::path& file, Contents what, const std::string& option) {
  std::vector<std::string> known = all_endings(what);
  std::string ending = ending_of(file), name = printable(file.string(), 200);
  if (std::find(known.begin(), known.end(), ending) == known.end())
    throw InputError(fmt::format("{} {}: {} written as {}, by the ending of the file, and not as {}", option, name,
                                 noun(what), endings_of(what), ending.empty() ? "one without" : printable(ending)));
  fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  std::error_code error;
  if (!fs::is_directory(folder, error))
    throw IoError(fmt::format("{} {}: there is no folder '{}'. Hint: make it, with mkdir -p", option, name,
                              printable(folder.string(), 200)));
  if (fs::is_directory(file, error)) throw IoError(fmt::format("{} {}: it is a folder", option, name));
  if (::access(folder.c_str(), W_OK | X_OK) != 0)
    throw IoError(
        fmt::format("{} {}: the folder '{}' cannot be written to", option, name, printable(folder.string(), 200)));
}

void save_rows(const fs::path& file, const SavedRows& rows) {
  write_by_ending(of_rows, Contents::rows, file, rows);
}

void save_images(const fs::path& file, const SavedImages& images) {
  write_by_ending(of_images, Contents::images, file, images);
}

void save_picture(const fs::path& file, const Tensor& image) {
  write_by_ending(of_pictures, Contents::picture, file, image);
}

}  // namespace vapo::data
