# cmake -DIN=openapi.json -DOUT=file.c -P: the API description as a C array.
file(READ ${IN} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUT}.new "/* Generated from api/openapi.json. */\n#include \"api/openapi.h\"\n\nconst unsigned char api_openapi_text[] = {${bytes}};\nconst size_t api_openapi_size = ${size};\n")
file(COPY_FILE ${OUT}.new ${OUT} ONLY_IF_DIFFERENT)
