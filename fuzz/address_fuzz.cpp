// Address lists: offsets mark the address and nothing else, a rewriting leaves all else octet for octet, what we write reads back.
#include "fuzz.hpp"

#include "base/strings.hpp"
#include "message/address_list.hpp"
#include "message/compose.hpp"
#include "message/encoded_word.hpp"

namespace posthorn::fuzz {
namespace {

using namespace posthorn::message;

// `rewritten` is `text` with the addresses replaced by `mark`, commas where white space alone parted members, and nothing else changed.
void check_only_addresses_changed(std::string_view text, const AddressList& list, std::string_view rewritten, std::string_view mark)
{
    std::size_t at = 0;
    for (const Address& address : list.addresses) {
        if (const std::size_t end = address.missing_comma; end != 0) {
            FUZZ_CHECK(end >= at && end <= text.size() && rewritten.starts_with(text.substr(at, end - at)));
            rewritten.remove_prefix(end - at);
            FUZZ_CHECK(rewritten.starts_with(","));
            rewritten.remove_prefix(1);
            at = end;
        }
        if (address.malformed || address.mailbox.null())
            continue;
        const std::string_view kept = text.substr(at, address.offset - at);
        FUZZ_CHECK(rewritten.starts_with(kept));
        rewritten.remove_prefix(kept.size());
        FUZZ_CHECK(rewritten.starts_with(mark));
        rewritten.remove_prefix(mark.size());
        at = address.offset + address.length;
    }
    FUZZ_CHECK(rewritten == text.substr(at));
}

}  // namespace

void fuzz_one(std::string_view input)
{
    Choices choices{input};
    const std::size_t limit = (choices.octet() & 1) != 0 ? 12 : 10240;
    const AddressList list = parse_address_list(input, limit);
    FUZZ_CHECK(list.addresses.size() <= limit);
    std::size_t at = 0;
    for (const Address& address : list.addresses) {
        FUZZ_CHECK(address.offset >= at && address.offset + address.length <= input.size());
        at = address.offset + address.length;
        if (address.malformed) {
            FUZZ_CHECK(address.mailbox.null() && address.length > 0);
            continue;
        }
        FUZZ_CHECK(!address.mailbox.null() ? address.length > 0 : true);
        const std::string_view own = input.substr(address.offset, address.length);
        FUZZ_CHECK(!address.angled || !own.ends_with('<') || own.ends_with("\\<"));
        // The text at the place is the address by itself.
        if (!address.mailbox.null() && limit > 12) {
            const AddressList alone = parse_address_list(std::string("<").append(input.substr(address.offset, address.length)).append(">"));
            FUZZ_CHECK(alone.addresses.size() == 1 && alone.addresses[0].mailbox == address.mailbox);
        }
        // With a name before it, in our form, it reads back.
        if (address.mailbox.local.find_first_of("\r\n") == std::string::npos && !address.mailbox.null()) {
            for (const bool utf8 : {false, true}) {
                const std::string text = named_address(address.display, address.mailbox, utf8);
                const AddressList back = parse_address_list(text);
                FUZZ_CHECK(back.addresses.size() == 1 && !back.addresses[0].malformed);
                FUZZ_CHECK(back.addresses[0].mailbox == address.mailbox);
                FUZZ_CHECK(!utf8 || back.addresses[0].display.size() <= address.display.size() + 1);
            }
        }
    }

    const smtp::Mailbox mark{"new", "mark.test"};
    const auto all = [&](const smtp::Mailbox&) { return std::optional{mark}; };
    const auto none = [](const smtp::Mailbox&) { return std::optional<smtp::Mailbox>{}; };
    FUZZ_CHECK(!rewrite_addresses(input, none, limit));
    if (const auto rewritten = rewrite_addresses(input, all, limit)) {
        bool same = false;  // an address that is the mark already is left as it is written
        for (const Address& address : list.addresses)
            same = same || address.mailbox == mark;
        if (!same)
            check_only_addresses_changed(input, list, *rewritten, "new@mark.test");
        FUZZ_CHECK(!rewrite_addresses(*rewritten, all, limit) || limit == 12);
    }

    const std::string words = encode_words(input);
    FUZZ_CHECK(is_ascii(words));
    bool control = false;
    for (const char c : input)
        control = control || static_cast<unsigned char>(c) < ' ' || c == 127;
    FUZZ_CHECK(control || decode_words(words) == input);
    (void)decode_words(input);
    const std::string phrase = quote_phrase(input);
    FUZZ_CHECK(phrase.find_first_of("\r\n") == std::string::npos);
}

}  // namespace posthorn::fuzz
