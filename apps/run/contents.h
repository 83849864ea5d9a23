#pragma once
// What a run's data was, in a few numbers: enough to see that it is no longer the same.

#include <map>
#include <string>
#include <vector>

#include "data/readers/table.h"
#include "data/sets/images.h"
#include "nn/checkpoint.h"

namespace vapo::app {

// As JSON text: counts, names of classes, and a checksum of all values. The place and the format of the files do
// not matter, the order of rows and classes does.
std::string contents_of(const data::Table& table);
std::string contents_of(const data::ImageSet& images);

// The names of classes in such a text, in the order of their numbers; empty where it has none.
std::vector<std::string> class_names(const std::string& contents);
// "0 = cat, 1 = dog", of many the first and the last ones; "" without names.
std::string text_of_classes(const std::vector<std::string>& names);

// In a checkpoint: extra.data.contents, the bytes of the text. "" stands for data without contents, a synthetic
// set, and for a checkpoint that was written without.
void store_contents(const std::string& contents, std::map<std::string, Tensor>& extra);
std::string stored_contents(const nn::CheckpointInfo& info);

// The names of a table's columns in contents; empty where it had none, or was no table.
std::vector<std::string> columns_of(const std::string& contents);

// "" where both are the same or either is ""; else what differs first, as "60 rows, and it had 50".
std::string what_changed(const std::string& then, const std::string& now);

}  // namespace vapo::app
