# cmake -DOUT=x.c -DPEM=ca-certificates.crt -P roots.cmake: the public roots as bytes of the program.
file(READ ${PEM} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUT} "/* Generated from Debian's ca-certificates. */\n#include \"enclave/world/roots.h\"\n
const uint8_t encl_roots_pem[] = {${bytes}};\nconst size_t encl_roots_pem_size = sizeof(encl_roots_pem);\n")
