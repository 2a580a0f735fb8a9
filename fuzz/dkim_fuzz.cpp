// DKIM: the hash of a body does not depend on the pieces it comes in, and is that of its canonical form as RFC 6376 3.4 words it; a canonical field is
// canonical; a signature's field is one field of short lines, whatever the header holds; what is signed has each field once as often as it is named.
#include "fuzz.hpp"

#include "base/strings.hpp"
#include "mailauth/signature.hpp"
#include "mailauth/signer.hpp"
#include "message/header.hpp"
#include "tls/digest.hpp"

#include <algorithm>

namespace posthorn::fuzz {

using namespace posthorn::mailauth;

namespace {

/// The words of the RFC, line by line.
std::string canonical_body(std::string_view body, Canonical how)
{
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < body.size();) {
        const std::size_t end = std::min(body.find("\r\n", at), body.size());
        std::string line(body.substr(at, end - at));
        if (how == Canonical::relaxed) {
            std::ranges::replace(line, '\t', ' ');
            line.erase(std::unique(line.begin(), line.end(), [](char a, char b) { return a == ' ' && b == ' '; }), line.end());
            if (line.ends_with(' '))
                line.pop_back();
        }
        lines.push_back(std::move(line));
        at = end + 2;
    }
    while (!lines.empty() && lines.back().empty())
        lines.pop_back();
    std::string whole;
    for (const std::string& line : lines)
        whole += line + "\r\n";
    return whole.empty() && how == Canonical::simple ? "\r\n" : whole;
}

}  // namespace

void fuzz_one(std::string_view input)
{
    if (input.empty())
        return;
    const std::size_t step = 1 + static_cast<unsigned char>(input.front()) % 7;
    input.remove_prefix(1);
    const std::size_t body = message::walk_to_end(input).body_offset();
    const std::string_view head = input.substr(0, body);
    Signature signature;
    signature.domain = "example.test";
    signature.selector = "s";
    signature.fields = fields_to_sign(head, {"from", "to", "subject"}, {"from", "x"});
    for (const Canonical how : {Canonical::simple, Canonical::relaxed}) {
        BodyHash hash(how);
        for (std::string_view rest = input.substr(body); !rest.empty(); rest.remove_prefix(std::min(step, rest.size())))
            hash.add(rest.substr(0, step));
        signature.header = how;
        signature.body_hash = hash.finish();
        FUZZ_CHECK(signature.body_hash == tls::digest(tls::Digest::sha256, canonical_body(input.substr(body), how)));

        const std::string field = unsigned_field(signature);
        std::size_t octets = canonical_field(field, how).size();
        std::vector<std::string> left = signature.fields;
        message::HeaderWalk walk(head);
        while (const auto one = walk.next()) {
            const std::string canonical = canonical_field(one->whole, how);
            FUZZ_CHECK(canonical_field(canonical, how) == canonical);
            if (const auto named = std::ranges::find(left, to_lower(one->name)); named != left.end()) {
                left.erase(named);
                octets += canonical.size() + 2;
            }
        }
        FUZZ_CHECK(left.size() == 2);  // those that must not be added
        FUZZ_CHECK(octets_to_sign(head, signature, field).size() == octets);

        const std::string whole = signed_field(field, signature.body_hash);
        message::HeaderWalk made(whole);
        const auto only = made.next();
        FUZZ_CHECK(only && only->is("DKIM-Signature") && only->whole.size() == whole.size());
        for (const std::string_view line : split(whole, "\n"))
            FUZZ_CHECK(line.size() <= 80);
    }
    const std::string author = author_of(head);
    FUZZ_CHECK(author.empty() || author.find('@') != author.npos);
}

}  // namespace posthorn::fuzz
