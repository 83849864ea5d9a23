#pragma once
// Files in the format that their ending names: one table of endings for whatever a command saves.

#include <filesystem>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace vapo::data {

enum class Contents { rows, images, picture, statistics };
std::string endings_of(Contents what);  // ".csv, .npy or .npz"
// Before there is anything to save: throws InputError naming the endings where `file` has none of them, IoError where
// its folder is not there or cannot be written to. `option` is what a person gave the file to.
void check_target(const std::filesystem::path& file, Contents what, const std::string& option);

// Rows of numbers, perhaps with a first column that says what each row is of.
struct SavedRows {
  Tensor values;                             // (N,D) f32 or f64
  std::vector<std::string> columns = {};     // names of the D; empty: x1, x2, …
  std::string index_name = {};               // of the first column; empty: there is none
  Tensor index = {};                         // i64 (N)
  std::vector<std::string> index_text = {};  // in a .csv in the place of the index, where it is not empty
};
// All are written whole or not at all, and throw as check_target.
//   .csv  names of the columns, then the rows; every number in the fewest digits that read back as the same
//   .npy  (N,D), or (N,1+D) f64 with the index
//   .npz  arr_0 (N,D); with an index: an array for it and one for each column, by name
void save_rows(const std::filesystem::path& file, const SavedRows& rows);

// Pixels u8 (N,H,W,C) as .npy; .npz with the labels, i64 (N), where there are any, as arr_1; .png and .jpg: all as one
// picture of `columns` (0: about as many as rows).
struct SavedImages {
  Tensor pixels, labels = {};
  int64_t columns = 0;
};
void save_images(const std::filesystem::path& file, const SavedImages& images);
void save_picture(const std::filesystem::path& file, const Tensor& image);  // u8 (H,W,C), as .png or .jpg

}  // namespace vapo::data
