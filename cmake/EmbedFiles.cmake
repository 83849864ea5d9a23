# vapo_embed(OUT FUNCTION FILE…): the source OUT, which defines vapo::app::FUNCTION(), a map from names of files to their
# texts: a program then needs no file beside it. Made anew when one of them changes. This file is the script that writes
# it, too: cmake -DOUT=… -DFUNCTION=… -DLIST=FILE -P EmbedFiles.cmake, LIST holding the paths of the files, one a line.
if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(VAPO_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
  function(vapo_embed out function)
    list(JOIN ARGN "\n" lines)
    file(CONFIGURE OUTPUT ${out}.list CONTENT "${lines}" @ONLY)
    add_custom_command(OUTPUT ${out}
      COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DFUNCTION=${function} -DLIST=${out}.list -P ${VAPO_EMBED_SCRIPT}
      DEPENDS ${ARGN} ${out}.list ${VAPO_EMBED_SCRIPT} VERBATIM)
  endfunction()
  return()
endif()

file(STRINGS ${LIST} files)
string(CONCAT source "// Written by the build: do not edit.\n#include <map>\n#include <string>\n\nnamespace vapo::app {\n"
  "const std::map<std::string, std::string>& ${FUNCTION}();\n"
  "const std::map<std::string, std::string>& ${FUNCTION}() {\n"
  "  static const std::map<std::string, std::string> files = {\n")
foreach(path IN LISTS files)
  get_filename_component(name ${path} NAME)
  file(READ ${path} text)
  string(REGEX REPLACE "\n$" "" text "${text}")
  string(APPEND source "{\"${name}\", R\"embedded(${text})embedded\"},\n")
endforeach()
string(APPEND source "};\n  return files;\n}\n}  // namespace vapo::app\n")
file(WRITE ${OUT} "${source}")
