// config/idna.hpp: how domain names beyond ASCII are converted, in this process (enable_idna2003_compatibility).
// IDNA2008 (RFC 5891, UTS 46 non-transitional) keeps letters that IDNA2003 made others: "ß" is "ss" there, and such a name another domain. Who converts
// a name asks for no configuration, so this is of the process: set where its configuration is read.
#pragma once

#include "config/param.hpp"

namespace posthorn::config {

inline constexpr Param<bool> enable_idna2003_compatibility{
    .name = "enable_idna2003_compatibility",
    .initial = "no",
    .doc =
        "Convert domain names as IDNA2003 did, for the DNS and for tables: the German sharp s becomes ss, the final sigma of Greek a common one. Such "
        "a name may be another's today."};

void convert_as_idna2003(bool yes);
bool converts_as_idna2003();

}  // namespace posthorn::config
