# Each library we link, found by pkg-config; what is missing is said at once, with the
# Debian package that holds it, rather than one per run.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

set(VENVFS_MISSING "")
# venvfs_require(<target suffix> <pkg-config module and version> <Debian package>)
function(venvfs_require name module package)
    pkg_check_modules(${name} IMPORTED_TARGET "${module}")
    if(NOT ${name}_FOUND)
        set(VENVFS_MISSING "${VENVFS_MISSING}\n    ${module}  (Debian: ${package})" PARENT_SCOPE)
    endif()
endfunction()

venvfs_require(FUSE3 "fuse3>=3.14" libfuse3-dev)
venvfs_require(ARCHIVE "libarchive>=3.6" libarchive-dev)
venvfs_require(XXHASH "libxxhash>=0.8.1" libxxhash-dev)
venvfs_require(CRYPTO "libcrypto>=3.0" libssl-dev)
venvfs_require(JANSSON "jansson>=2.13" libjansson-dev)
venvfs_require(SQLITE "sqlite3>=3.38" libsqlite3-dev)
venvfs_require(CAPNG "libcap-ng>=0.8" libcap-ng-dev)
venvfs_require(SECCOMP "libseccomp>=2.5" libseccomp-dev)
if(BUILD_TESTING)
    venvfs_require(CMOCKA "cmocka>=1.1.5" libcmocka-dev)
endif()
if(VENVFS_MISSING)
    message(FATAL_ERROR "venvfs needs libraries that are not here:${VENVFS_MISSING}\n"
        "scripts/setup installs them.")
endif()
