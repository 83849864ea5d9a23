#pragma once
// The folder of one evaluation of a model: request.json (what was asked), the parts that took long to make, figures
// with the data they are drawn from, and at the end result.json, which `vapo report` shows.

#include <filesystem>
#include <string>
#include <vector>

#include "apps/run/command.h"
#include "apps/run/folder_lock.h"
#include "apps/run/model.h"
#include "data/pictures/figure.h"

namespace vapo::app {

class Evaluation {
 public:
  enum class Parts { kept, none };
  // Opens FOLDER, made where it is missing, for `command` as `request` says: an object of scalars and arrays, of
  // all that the outcome depends on. Parts of an earlier call with the same request count as done. Throws IoError,
  // and InputError naming the key where the folder holds the evaluation of another request, or another process
  // writes to it. `option` chooses another folder.
  // Parts::none: there is nothing to go on with. An earlier evaluation of the same command is replaced, whatever
  // its request; and FOLDER may be that of a run, which training writes to meanwhile.
  Evaluation(const std::filesystem::path& folder, std::string command, Json request,
             const std::string& option = "--out", Parts parts = Parts::kept);

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path file(const std::string& name) const { return folder_ / name; }
  bool has(const std::string& name) const;  // a part is there; write parts atomically

  // What was found, in the order of the page. Numbers that are not finite become null.
  void summary(const std::string& name, Json value);
  void table(const std::string& caption, std::vector<std::string> columns, std::vector<std::vector<Json>> rows);
  void figure(const std::string& file, const std::string& caption);  // FILE: a .png in the folder
  // NAME.png; a remark in its place where it cannot be drawn.
  void draw(const data::Figure& figure, const std::string& name, const std::string& caption);
  // A number of the poster beside ours. `because` says why the two cannot be compared; empty where they can.
  void beside_poster(const std::string& quantity, Json poster, Json ours, const std::string& because = "");
  void remark(const std::string& text);  // what a reader must know to read the numbers right

  // Writes result.json atomically, and the summary to standard output (as_json: all of result.json as one line).
  void finish(bool as_json);
  void write() const;  // result.json alone

 private:
  std::filesystem::path folder_;
  FolderLock lock_;
  Json result_;
};

// Draws FOLDER/NAME.png. Where gnuplot is missing or fails, the picture is left out: one line says so, for all of a
// command's figures, and the reason comes back (empty: it is there).
std::string draw_or_tell(const data::Figure& figure, const std::filesystem::path& folder, const std::string& name);

// Where a command's results go: `given`, or evaluations/NAME beside the model's checkpoint.
std::filesystem::path evaluation_folder(const std::string& given, const std::string& name);
std::filesystem::path evaluation_folder(const Model& model, const std::string& given, const std::string& name);
// What every request says of its model: checkpoint file, its step, size and time of writing (seconds since 1970),
// weights, data set.
Json model_request(const Model& model);

}  // namespace vapo::app
