#pragma once
// Pictures of data as training takes it.

#include <filesystem>
#include <string>
#include <vector>

#include "apps/run/dataset.h"
#include "vapo/path.h"

namespace vapo::app {

// Rows (N,D) f64 with the names of their columns: the histogram of one, the points of two, both for each pair of up to
// five, the histograms of more. Some of the rows where there are very many, some of the columns likewise: the title says
// so. `equal_units`: of both axes. Gives nothing where `file` is written, else why it is not: gnuplot draws it.
[[nodiscard]] std::string draw_rows(const std::filesystem::path& file, const std::string& title, const Tensor& rows,
                                    const std::vector<std::string>& columns, bool equal_units);

// The first images of training, as the network gets them: cropped, resized, perhaps mirrored.
void draw_images(const std::filesystem::path& file, Dataset& images, int64_t count);

// A row for each of the first of them, up to eight: where the path has it at nine times, from noise to data.
void draw_path(const std::filesystem::path& file, Dataset& images, const Path& path, int64_t count);

}  // namespace vapo::app
