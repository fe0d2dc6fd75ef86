# venvfs_templates(<folder> <file>...): each file of templates/ becomes an array of bytes in
# <folder>/templates.h, template_<name> and template_<name>_size. Sets TEMPLATES_SOURCE to
# the source to compile and TEMPLATES_INCLUDE to where the header is found.
function(venvfs_templates folder)
    set(header "/* Made by CMake from ${folder}/templates. */\n#pragma once\n\n#include <stddef.h>\n#include <stdint.h>\n\n")
    set(source "#include \"${folder}/templates.h\"\n\n")
    foreach(template ${ARGN})
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS templates/${template})
        file(READ templates/${template} hex HEX)
        string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
        string(MAKE_C_IDENTIFIER ${template} name)
        string(APPEND header "extern const uint8_t template_${name}[];\nextern const size_t template_${name}_size;\n")
        string(APPEND source "const uint8_t template_${name}[] = { ${bytes} };\n"
            "const size_t template_${name}_size = sizeof(template_${name});\n")
    endforeach()
    set(generated ${CMAKE_CURRENT_BINARY_DIR}/generated)
    file(CONFIGURE OUTPUT ${generated}/${folder}/templates.h CONTENT "${header}" @ONLY)
    file(CONFIGURE OUTPUT ${generated}/templates.c CONTENT "${source}" @ONLY)
    set(TEMPLATES_SOURCE ${generated}/templates.c PARENT_SCOPE)
    set(TEMPLATES_INCLUDE ${generated} PARENT_SCOPE)
endfunction()
