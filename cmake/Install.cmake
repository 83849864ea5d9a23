# install (the program is a component of its own), and a package that another project finds with find_package(vapo) and links as vapo::autograd, vapo::vapo …
include(CMakePackageConfigHelpers)

get_property(targets GLOBAL PROPERTY VAPO_INSTALL_TARGETS)
install(TARGETS ${targets} EXPORT vapoTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY tensor distributed autograd nn vapo data DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/vapo
        FILES_MATCHING PATTERN "*.h" PATTERN "*.inc" PATTERN "mpi.h" EXCLUDE PATTERN "cpu" EXCLUDE PATTERN "cuda" EXCLUDE)
if(TARGET vapo_program)
  install(TARGETS vapo_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
endif()

# Configs to copy and change; the papers, where Debian looks for them.
install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/vapo COMPONENT program)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright COMPONENT program)
install(FILES README.md CITATION.cff CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)

# For builds without CMake: g++ -std=c++20 mine.cpp $(pkg-config --cflags --libs vapo). The libraries are static, so what they
# use is linked too; in an order in which each comes before what it needs.
set(cuda_flags "")
if(VAPO_WITH_CUDA)
  # where they lie is seldom a place that programs look in by themselves
  get_filename_component(cudnn_dir ${VAPO_CUDNN_LIBRARY} DIRECTORY)
  set(cuda_flags " ${VAPO_CUDNN_LIBRARY} -L${CUDAToolkit_LIBRARY_DIR} -lcublas -lcudart")
  string(APPEND cuda_flags " -Wl,-rpath,${CUDAToolkit_LIBRARY_DIR} -Wl,-rpath,${cudnn_dir}")
endif()
file(RELATIVE_PATH up_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)  # found from where the file lies: the tree can be moved
foreach(name IN ITEMS vapo vapo-data)
  configure_file(cmake/${name}.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/vapo)
install(EXPORT vapoTargets NAMESPACE vapo:: DESTINATION ${package_dir})
configure_package_config_file(cmake/vapoConfig.cmake.in ${PROJECT_BINARY_DIR}/vapoConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/vapoConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/vapoConfig.cmake ${PROJECT_BINARY_DIR}/vapoConfigVersion.cmake DESTINATION ${package_dir})
