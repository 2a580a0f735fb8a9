// What a server shows of itself, and what is kept of that. A greeting is the same with another number and time behind it; all that comes of a greeting,
// of an answer to EHLO, of what an smtp process says or of a stored portrait is printable, and as long as it may be. From any portrait on, the same
// face again and again ends in that nothing is altered; a portrait reads back as it was written.
#include "fuzz.hpp"

#include "peers/portrait.hpp"
#include "peers/stored.hpp"
#include "peers/stored.pb.h"
#include "peers/times.hpp"

namespace posthorn::fuzz {

using namespace posthorn::peers;

namespace {

constexpr WallTime begin_of_time{std::chrono::hours{500'000}};

bool fits(std::string_view text, std::size_t octets)
{
    return text.size() <= octets && std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 127; });
}

void check_face(const Face& face)
{
    FUZZ_CHECK(face.seen.size() <= 2 * face_features + aspect_count);
    FUZZ_CHECK(fits(face.mx_set, mx_octets));
    for (const Face::Seen& seen : face.seen) {
        FUZZ_CHECK(fits(seen.value, value_octets));
        FUZZ_CHECK(fits(seen.name, name_octets));
    }
}

void check_portrait(const Portrait& portrait)
{
    FUZZ_CHECK(portrait.traits.size() <= portrait_traits);
    FUZZ_CHECK(portrait.changes.size() <= portrait_changes);
    FUZZ_CHECK(portrait.expiries.size() <= portrait_expiries);
    for (const Change& change : portrait.changes)
        FUZZ_CHECK(fits(text_of(portrait.peer, change), 1500));
    FUZZ_CHECK(portrait_of(octets_of(portrait)) == portrait);
}

/// `other`: another machine, that takes turns at first.
void check_looks(Portrait portrait, const Face& face, const Face& other = {})
{
    WallTime now = begin_of_time;
    portrait = believable(std::move(portrait), now);
    const Wants wants{.message_size_limit = 10'240'000};
    for (std::uint32_t number = 1; number < 4; ++number, now += std::chrono::hours{13}) {
        (void)look(portrait, Limits{.recipients_per_mail = number, .errors_per_session = 7}, now);
        check_portrait(portrait);
    }
    for (int i = 0; i < 160; ++i, now += std::chrono::hours{2}) {
        const Look found = look(portrait, (i > 6 && i < 30 && i % 5 == 2) || i == 20 ? other : face, wants, now);
        FUZZ_CHECK(found.changes.empty() || found.altered);
        if (!found.changes.empty() || i % 32 == 31)  // each look would cost a hundred times the looking
            check_portrait(portrait);
    }
    (void)look(portrait, face, wants, now);
    const Portrait before = portrait;
    FUZZ_CHECK(!look(portrait, face, wants, now).altered);
    FUZZ_CHECK(portrait == before);
}

void from_text(std::string_view input)
{
    const std::string greeting = "220 h.test " + std::string(input.substr(0, input.find('\n')));
    FUZZ_CHECK(product_of(greeting + " 4711 10:00:00 +0000 a1b2c3d4e5", "h.test") == product_of(greeting, "h.test"));
    Shown shown;
    shown.greeting = shown.ehlo_clear = std::string(input);
    shown.mx_set = shown.issuer = shown.tls_trust = shown.tls_level = std::string(input);
    check_face(face_of(shown, input.substr(0, input.find(' '))));
    shown.ehlo_tls = shown.tls_protocol = std::string(input);
    const Face face = face_of(shown, "h.test");
    check_face(face);
    shown.greeting = shown.ehlo_clear = shown.ehlo_tls = std::string(input.substr(0, input.size() / 2));
    check_looks({}, face, face_of(shown, "h.test"));
    shown.tls_protocol.clear();
    shown.ehlo_clear = std::string(input);
    check_looks({}, face_of(shown, "h.test"), face);
}

}  // namespace

void fuzz_one(std::string_view input)
{
    Choices choices(input);
    switch (choices.octet() % 3) {
    case 0: from_text(input); break;
    case 1:
        if (auto portrait = portrait_of(input)) {
            check_portrait(*portrait);
            Shown shown;
            shown.greeting = "220 h.test ESMTP";
            shown.ehlo_clear = "250-h.test\n250-SIZE 5\n250 STARTTLS";
            check_looks(*std::move(portrait), face_of(shown, "h.test"));
        }
        break;
    default: {
        stored::Observed frame;
        if (!frame.ParseFromArray(input.data(), static_cast<int>(input.size())))
            return;
        const Observation seen = observation_of(frame);
        check_face(seen.face);
        FUZZ_CHECK(observation_of(frame_of(seen)).face == seen.face);
        check_looks({}, seen.face);
    }
    }
}

}  // namespace posthorn::fuzz
