# venvfs_module(<name> HEADERS ... SOURCES ... [DEPENDS ...] [PRIVATE_DEPENDS ...])
# One static library a folder. DEPENDS are our own layers (visible to who links us),
# PRIVATE_DEPENDS third-party libraries behind a door. Each header must compile alone
# (target all_verify_interface_header_sets).
function(venvfs_module name)
    cmake_parse_arguments(M "" "" "HEADERS;SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
    add_library(${name} STATIC ${M_SOURCES})
    target_sources(${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}
        FILES ${M_HEADERS})
    target_link_libraries(${name} PUBLIC venvfs_flags ${M_DEPENDS} PRIVATE ${M_PRIVATE_DEPENDS})
    set_target_properties(${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
endfunction()
