#include "attest/vcek.h"

#include <stdio.h>
#include <string.h>

#include "common/base/text.h"
#include "common/crypto/x509_der.h"

#define ARC            "1.3.6.1.4.1.3704.1."
#define DER_IA5_STRING 0x16

static const struct {
    const char *oid;
    size_t offset;
    bool is_turin; /* required there alone, absent before */
} parts[] = {
    { ARC "3.1", offsetof(rd_snp_tcb, boot_loader), false }, { ARC "3.2", offsetof(rd_snp_tcb, tee), false },
    { ARC "3.3", offsetof(rd_snp_tcb, snp), false },         { ARC "3.8", offsetof(rd_snp_tcb, microcode), false },
    { ARC "3.9", offsetof(rd_snp_tcb, fmc), true },
};

rd_snp_product rd_snp_product_parse(rd_bytes name)
{
    const uint8_t *dash = name.size ? memchr(name.data, '-', name.size) : NULL;
    if (dash)
        name.size = (size_t)(dash - name.data);
    for (int i = RD_SNP_MILAN; i < RD_SNP_PRODUCT_COUNT; i++)
        if (rd_bytes_equal(name, rd_bytes_str(rd_snp_product_names[i])))
            return (rd_snp_product)i;
    return 0;
}

static int read_part(const rd_cert *cert, const char *oid, bool is_required, uint8_t *ret, rd_err *err)
{
    rd_bytes value, content;
    uint32_t number = 0;
    if (!rd_cert_extension(cert, oid, &value))
        return is_required ? rd_err_set(err, RD_E_TCB_CERT_MISMATCH, "the certificate has no %s", oid) : 0;
    if (!rd_der_take(&value, RD_DER_INTEGER, &content) || value.size != 0 || !rd_der_uint(content, 255, &number))
        return rd_err_set(err, RD_E_TCB_CERT_MISMATCH, "%s of the certificate is malformed", oid);
    *ret = (uint8_t)number;
    return 0;
}

rd_snp_product rd_vcek_product(const rd_cert *cert)
{
    rd_bytes value, name;
    if (!rd_cert_extension(cert, ARC "2", &value) || !rd_der_take(&value, DER_IA5_STRING, &name) || value.size != 0)
        return 0;
    return rd_snp_product_parse(name);
}

int rd_vcek_tcb(const rd_cert *cert, rd_snp_product product, rd_snp_tcb *ret, rd_err *err)
{
    *ret = (rd_snp_tcb){ 0 };
    for (size_t i = 0; i < RD_ARRAY_LEN(parts); i++)
        if (read_part(cert, parts[i].oid, !parts[i].is_turin || product == RD_SNP_TURIN,
                      (uint8_t *)ret + parts[i].offset, err) < 0)
            return -1;
    if (product != RD_SNP_TURIN)
        ret->fmc = 0;
    return 0;
}

/* The value is raw in genuine certificates; an OCTET STRING of exactly its size is accepted too. */
int rd_vcek_chip(const rd_cert *cert, rd_snp_product product, uint8_t ret[64], rd_err *err)
{
    size_t size = rd_chip_id_size(product);
    rd_bytes value;
    memset(ret, 0, 64);
    if (!rd_cert_extension(cert, ARC "4", &value))
        return rd_err_set(err, RD_E_CHIP_ID, "the certificate names no chip");
    if (value.size == size + 2 && value.data[0] == RD_DER_OCTET_STRING && value.data[1] == size)
        value = rd_bytes_of(value.data + 2, size);
    if (value.size != size)
        return rd_err_set(err, RD_E_CHIP_ID, "the certificate's chip id has %zu bytes", value.size);
    memcpy(ret, value.data, size);
    return 0;
}

int rd_vcek_read(const rd_cert *cert, rd_vcek_id *ret, rd_err *err)
{
    *ret = (rd_vcek_id){ .product = rd_vcek_product(cert) };
    if (ret->product == 0)
        return rd_err_set(err, RD_E_SNP_PRODUCT, "the certificate names no product that is known");
    if (rd_vcek_tcb(cert, ret->product, &ret->tcb, err) < 0)
        return -1;
    return rd_vcek_chip(cert, ret->product, ret->chip_id, err);
}

void rd_vcek_id_format(const rd_vcek_id *id, char ret[RD_VCEK_TEXT_SIZE])
{
    const rd_snp_tcb *tcb = &id->tcb;
    char chip[129];
    rd_hex_encode(rd_bytes_of(id->chip_id, rd_chip_id_size(id->product)), chip);
    int size = snprintf(ret, RD_VCEK_TEXT_SIZE, "%s/%s/%u.%u.%u.%u", rd_snp_product_names[id->product], chip,
                        tcb->boot_loader, tcb->tee, tcb->snp, tcb->microcode);
    if (id->product == RD_SNP_TURIN)
        (void)snprintf(ret + size, RD_VCEK_TEXT_SIZE - (size_t)size, ".%u", tcb->fmc);
}

static bool read_levels(const char *text, bool has_fmc, rd_snp_tcb *ret)
{
    for (size_t i = 0; i < (has_fmc ? 5u : 4u); i++) {
        uint64_t value;
        size_t size = strcspn(text, ".");
        bool is_last = i == (has_fmc ? 4u : 3u);
        if (rd_parse_u64(text, size, 255, &value) < 0 || (text[size] == 0) != is_last)
            return false;
        *((uint8_t *)ret + parts[i].offset) = (uint8_t)value;
        text += size + 1;
    }
    return true;
}

int rd_vcek_id_parse(const char *text, rd_vcek_id *ret, rd_err *err)
{
    size_t name = strcspn(text, "/");
    *ret = (rd_vcek_id){ .product = rd_snp_product_parse(rd_bytes_of(text, name)) };
    const char *chip = text[name] ? text + name + 1 : "";
    size_t chip_size = strcspn(chip, "/");
    if (ret->product == 0 || name != strlen(rd_snp_product_names[ret->product]) ||
        rd_hex_decode(chip, chip_size, ret->chip_id, rd_chip_id_size(ret->product)) < 0 || chip[chip_size] == 0 ||
        !read_levels(chip + chip_size + 1, ret->product == RD_SNP_TURIN, &ret->tcb))
        return rd_err_set(err, RD_E_USAGE, "%.40s is not product/chip id/boot loader.tee.snp.microcode[.fmc]", text);
    return 0;
}
