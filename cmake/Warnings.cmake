# Every warning is an error. Each one earns its place by a class of bug that it finds.
add_library(redoubt_warnings INTERFACE)
target_compile_options(redoubt_warnings INTERFACE
  -Wall -Wextra -Werror
  -Wshadow                  # two things of one name
  -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition  # everything not in a header is static
  -Wpointer-arith -Wcast-align
  -Wno-missing-field-initializers  # rows of tables leave the rest zero on purpose
  -Wformat=2                # format strings are constants
  -Wundef -Wvla             # no stack sized by input
  -Wwrite-strings -Wdate-time
  -fno-common -fstack-protector-strong)
# Names are bound at the start, and the tables of their addresses are read-only from then on.
target_link_options(redoubt_warnings INTERFACE LINKER:-z,relro,-z,now)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(redoubt_warnings INTERFACE -Wlogical-op -Wduplicated-cond)
  # Sentences of errors are cut by design (common/base/err.h).
  target_compile_options(redoubt_warnings INTERFACE -Wno-format-truncation)
endif()
if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_definitions(redoubt_warnings INTERFACE _FORTIFY_SOURCE=2)
endif()
