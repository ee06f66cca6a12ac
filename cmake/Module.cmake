# How a folder says what it is. Sources are globbed: a new file needs no edit here.
#
#   redoubt_layer(rd_base common/base LINK PkgConfig::x rd_y)     a static library of one folder
#   redoubt_program(redoubt-api api LINK ...)                     lib api_core (all but main.c) and the program
#
# Includes are written from the root of the tree ("common/base/err.h"); tests/lint holds them to the layer rule.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(redoubt_common_flags INTERFACE)
target_include_directories(redoubt_common_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(redoubt_common_flags INTERFACE _GNU_SOURCE REDOUBT_VERSION="${PROJECT_VERSION}")
target_link_libraries(redoubt_common_flags INTERFACE redoubt_warnings redoubt_sanitizers)

function(redoubt_layer name dir)
  cmake_parse_arguments(ARG "" "" "LINK;EXCLUDE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${dir}/*.c)
  list(FILTER sources EXCLUDE REGEX "/main\\.c$")
  foreach(pattern ${ARG_EXCLUDE})
    list(FILTER sources EXCLUDE REGEX "${pattern}")
  endforeach()
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC redoubt_common_flags ${ARG_LINK})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE redoubt_common_flags ${ARG_LINK})
  endif()
endfunction()

function(redoubt_program name dir)
  cmake_parse_arguments(ARG "" "CORE" "LINK;EXCLUDE" ${ARGN})
  if(NOT ARG_CORE)
    string(REPLACE "/" "_" core "${dir}_core")
  else()
    set(core ${ARG_CORE})
  endif()
  redoubt_layer(${core} ${dir} LINK ${ARG_LINK} EXCLUDE ${ARG_EXCLUDE})
  if(EXISTS ${CMAKE_SOURCE_DIR}/${dir}/main.c)
    add_executable(${name} ${CMAKE_SOURCE_DIR}/${dir}/main.c)
    target_link_libraries(${name} PRIVATE ${core})
  endif()
endfunction()

# redoubt_test(name source LINK lib...): one cmocka binary, run by ctest with a time limit.
function(redoubt_test name source)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} PkgConfig::cmocka)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT 120 LABELS unit)
endfunction()

# redoubt_fuzz(name source LINK lib...): a libFuzzer target; built with the fuzz preset only.
function(redoubt_fuzz name source)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE ${ARG_LINK})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
endfunction()
