# install, and a package that another project finds with find_package(vapo) and links as vapo::autograd, vapo::vapo …
include(CMakePackageConfigHelpers)

get_property(targets GLOBAL PROPERTY VAPO_INSTALL_TARGETS)
install(TARGETS ${targets} EXPORT vapoTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY tensor autograd nn vapo data DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/vapo
        FILES_MATCHING PATTERN "*.h" PATTERN "*.inc" PATTERN "cpu" EXCLUDE PATTERN "cuda" EXCLUDE)
if(TARGET vapo_program)
  install(TARGETS vapo_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/vapo)
install(EXPORT vapoTargets NAMESPACE vapo:: DESTINATION ${package_dir})
configure_package_config_file(cmake/vapoConfig.cmake.in ${PROJECT_BINARY_DIR}/vapoConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/vapoConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/vapoConfig.cmake ${PROJECT_BINARY_DIR}/vapoConfigVersion.cmake DESTINATION ${package_dir})
