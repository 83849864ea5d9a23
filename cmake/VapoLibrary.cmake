# Warnings are errors with the compilers that this was tried with; another's new ones must not stop a stranger's build.
if((CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 15) OR
   (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 15))
  set(VAPO_WERROR -Werror)
endif()

# vapo_options(target): what every target of ours is compiled with.
function(vapo_options target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion ${VAPO_WERROR})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-restrict)  # false alarms on std::string, GCC bug 105651
  endif()
  if(VAPO_BUILD_FUZZERS AND CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    # Coverage of what is fuzzed guides the fuzzer; what its targets do differently is behind the name that all fuzzers use.
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
    target_compile_definitions(${target} PRIVATE FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION)
  endif()
  if(VAPO_SANITIZE)
    target_compile_definitions(${target} PUBLIC VAPO_SANITIZED)
    target_compile_options(${target} PUBLIC -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=address,undefined)
  endif()
endfunction()

# vapo_false_alarm(WARNING SOURCE): with the sanitizers' code in between, GCC takes values of fmt and std::regex for
# uninitialised that are not (GCC bug 105562).
function(vapo_false_alarm warning source)
  if(VAPO_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS -Wno-${warning})
  endif()
endfunction()

# vapo_compile_quickly(target): for code whose own speed does not matter, parsing, printing and tests: a third of its compile time.
function(vapo_compile_quickly target)
  target_compile_options(${target} PRIVATE $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:-O1>)
endfunction()

# vapo_library(name SOURCES … LINKS … [PRIVATE_LINKS …]): the library of one folder, exported as vapo::name.
# Headers are included from the root of the house: #include "tensor/tensor.h".
function(vapo_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(vapo_${name} STATIC ${arg_SOURCES})
  add_library(vapo::${name} ALIAS vapo_${name})
  set_target_properties(vapo_${name} PROPERTIES EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON)
  target_include_directories(vapo_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                                                 $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/vapo>)
  target_link_libraries(vapo_${name} PUBLIC ${arg_LINKS} PRIVATE ${arg_PRIVATE_LINKS})
  vapo_options(vapo_${name})
  set_property(GLOBAL APPEND PROPERTY VAPO_INSTALL_TARGETS vapo_${name})
endfunction()

include(GNUInstallDirs)
