#include "mailauth/canonical.hpp"

#include "base/strings.hpp"
#include "message/header.hpp"

#include <algorithm>
#include <utility>

namespace posthorn::mailauth {

using message::is_blank;

namespace {
constexpr std::size_t most_ready = 64 * 1024;
}

std::string canonical_field(std::string_view field, Canonical how)
{
    if (field.ends_with('\n'))
        field.remove_suffix(field.ends_with("\r\n") ? 2 : 1);
    if (how == Canonical::simple)
        return std::string(field);
    const std::size_t colon = std::min(field.find(':'), field.size());
    std::string made = to_lower(trim(field.substr(0, colon)));
    made += ':';
    const std::size_t name = made.size();
    bool blank = false;
    for (std::size_t at = colon + 1; at < field.size(); ++at) {
        const char c = field[at];
        if (c == '\r' && field.substr(at + 1, 1) == "\n" && at + 2 < field.size() && is_blank(field[at + 2])) {
            ++at;                                                          // folding: the white space behind it counts
            continue;
        }
        if (is_blank(c)) {
            blank = true;
            continue;
        }
        if (std::exchange(blank, false) && made.size() > name)
            made += ' ';
        made += c;
    }
    return made;
}

void BodyHash::put(char octet)
{
    for (; line_ends_ > 0; --line_ends_) {
        ready_ += "\r\n";
        if (ready_.size() >= most_ready)                                    // a body of empty lines comes in at once
            hash();
    }
    if (blank_)
        ready_ += ' ';
    blank_ = empty_ = false;
    ready_ += octet;
}

void BodyHash::hash()
{
    const std::string_view now = std::string_view(ready_).substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, ready_.size())));
    hash_.add(now);
    left_ -= now.size();
    cut_ |= now.size() < ready_.size();
    ready_.clear();
}

void BodyHash::add(std::string_view octets)
{
    if (cut_)
        return;
    ready_.reserve(octets.size() + 2);
    for (const char c : octets) {
        if (cr_) {
            cr_ = false;
            if (c == '\n') {
#ifndef POSTHORN_PLANT_BUG_dkim  // white space at the end of a line stays (scripts/fuzz-planted)
                blank_ = false;
#endif
                ++line_ends_;
                continue;
            }
            put('\r');
        }
        if (c == '\r')
            cr_ = true;
        else if (how_ == Canonical::relaxed && is_blank(c))
            blank_ = true;
        else
            put(c);
    }
    hash();
}

std::string BodyHash::finish()
{
    if (cr_)
        put('\r');
    // An empty body is one line end in simple form, and nothing in relaxed.                                RFC 6376 3.4.3, 3.4.4
    if (!empty_ || how_ == Canonical::simple)
        ready_ += "\r\n";
    hash();
    return hash_.finish();
}

}  // namespace posthorn::mailauth
