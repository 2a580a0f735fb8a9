// tester/finger.hpp: what a server's TLS is like, and whom its certificate stands for.                        posttls-finger(1)
// Shape    one session to the first host that answers: greeting, EHLO, STARTTLS (-w: TLS at once), EHLO, QUIT. No mail is named. With -r the
//          session is opened again, to see whether it is resumed.
// Says     on standard error, as Postfix's program; certificates (-C) on standard output.
// Levels   none may encrypt fingerprint verify secure; dane and dane-only without usable TLSA records are as secure: none are looked up yet.
#pragma once

#include <span>

namespace posthorn::tester {

/// The options, as getopt(3) reads them; the manual's page is held against the same list.
inline constexpr const char* finger_letters = "a:A:cCd:fF:g:h:H:k:K:l:L:m:M:o:p:P:r:s:St:T:vwX";

int finger(std::span<char*> args);

}  // namespace posthorn::tester
