# Debian packages: vapo (the program) and libvapo-dev (headers and static libraries). tools/package.sh makes them, of a build
# without CUDA, whose libraries are no Debian packages that one could depend on.
if(VAPO_WITH_CUDA OR NOT VAPO_BUILD_APPS)
  return()
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "the vapo authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL program Unspecified)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "the vapo authors <vapo@localhost>")

set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME vapo)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_RECOMMENDS gnuplot-nox)
set(CPACK_DEBIAN_UNSPECIFIED_PACKAGE_NAME libvapo-dev)
set(CPACK_DEBIAN_UNSPECIFIED_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_UNSPECIFIED_PACKAGE_DEPENDS "libcsv-dev, libfmt-dev, libhwy-dev, libdnnl-dev, ocl-icd-opencl-dev, nlohmann-json3-dev, libtomlplusplus-dev, \
libexif-dev, libgif-dev, libjpeg62-turbo-dev, liblapacke-dev, libnetpbm-dev, libpng-dev, libtiff-dev, libwebp-dev, libprotobuf-dev, libzip-dev, zlib1g-dev")
include(CPack)
