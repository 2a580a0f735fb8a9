#include <doctest/doctest.h>

#include "smtp/verb.hpp"

using namespace posthorn::smtp;

TEST_CASE("verbs: names are found without regard to case, others are not")
{
    CHECK(find_verb("mail")->id == VerbId::mail);
    CHECK(find_verb("StartTls")->id == VerbId::starttls);
    CHECK(find_verb("MAILX") == nullptr);
    CHECK(find_verb("") == nullptr);
    for (const Verb& verb : verbs)
        CHECK(find_verb(verb.name) == &verb);
}

TEST_CASE("verbs: exactly those of RFC 2920 3.1 and of later extensions end a group")
{
    for (VerbId id :
         {VerbId::ehlo, VerbId::data, VerbId::vrfy, VerbId::expn, VerbId::turn, VerbId::quit, VerbId::noop, VerbId::starttls, VerbId::auth})
        CHECK(ends_group(id));
    for (VerbId id : {VerbId::mail, VerbId::rcpt, VerbId::rset, VerbId::bdat, VerbId::etrn, VerbId::xforward})
        CHECK_FALSE(ends_group(id));
    CHECK(verb(VerbId::bdat).octets_follow);
}
