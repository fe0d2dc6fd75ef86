# venvfs_flags: the warnings, defines and sanitizers that every target of ours is built with.
option(VENVFS_WERROR "turn warnings into errors" OFF)
set(VENVFS_SANITIZE "" CACHE STRING "sanitizers, as -fsanitize= takes them")
option(VENVFS_FUZZ "build the fuzz targets for libFuzzer (clang)" OFF)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

add_library(venvfs_flags INTERFACE)
target_include_directories(venvfs_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(venvfs_flags INTERFACE
    _GNU_SOURCE _FILE_OFFSET_BITS=64 VENVFS_VERSION="${PROJECT_VERSION}")
target_compile_options(venvfs_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef -Wvla -Wwrite-strings
    -Wredundant-decls -Wpointer-arith -Wcast-qual -Wcast-align -Wformat=2
    -Wimplicit-fallthrough -Wswitch-enum -Wdate-time -Wdouble-promotion
    -fno-common -fvisibility=hidden -fstack-protector-strong
    $<$<COMPILE_LANG_AND_ID:C,GNU,Clang>:-Wstrict-prototypes -Wmissing-prototypes
        -Wold-style-definition -Wnull-dereference>
    $<$<COMPILE_LANG_AND_ID:C,GNU>:-Wlogical-op -Wduplicated-cond -Wduplicated-branches
        -Wjump-misses-init -Walloc-zero>
    $<$<COMPILE_LANG_AND_ID:C,Clang>:-Wthread-safety -Wassign-enum -Wcomma>)
if(VENVFS_WERROR)
    target_compile_options(venvfs_flags INTERFACE -Werror)
endif()
if(VENVFS_SANITIZE)
    target_compile_options(venvfs_flags INTERFACE
        -fsanitize=${VENVFS_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(venvfs_flags INTERFACE -fsanitize=${VENVFS_SANITIZE})
endif()
if(VENVFS_FUZZ)
    target_compile_options(venvfs_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
