#pragma once
// What data was understood to be: facts for a program, lines for a person. `vapo data`, `vapo info` and
// `vapo train --dry-run` say the same.

#include <string>
#include <vector>

#include "apps/run/command.h"
#include "data/readers/table.h"
#include "data/sets/images.h"

namespace vapo::app {

// kind, rows, header, columns (number, name, kind, low, high, missing cells, a remark) as the file has them; and of
// those that were chosen (null: they could not be) which they are, how many rows, and the notes.
Json facts_of(const data::TableFile& file, const data::Table* chosen);
// kind, images, height, width, channels, classes with their counts, and what was left out and why.
Json facts_of(const data::ImageSet& images);
// kind, the number of columns, whether the density is known, the noise, and how many points (0: fresh ones).
Json facts_of_points(bool density_known, double noise, int64_t points);
// kind, pictures, their formats and sizes with counts, classes, and what else lies there: of a folder whose images may
// have any sizes. Throws IoError; InputError where there is no picture in it.
Json facts_of_folder(const std::string& folder);

// The same with lists of objects as lines of a table, and lists of texts as lines.
Json for_a_person(const Json& facts);

}  // namespace vapo::app
