#include "submit/input_text.hpp"

#include <algorithm>
#include <utility>

namespace posthorn::submit {

std::string InputText::feed(std::string_view octets)
{
    constexpr std::string_view mark = "From ";
    constexpr std::size_t most_quotes = 100;
    while (beginning_ && !octets.empty()) {
        if (skipping_) {
            const std::size_t lf = octets.find('\n');
            skipping_ = lf == octets.npos;
            octets.remove_prefix(skipping_ ? octets.size() : lf + 1);
            continue;
        }
        begun_ += octets.front();
        octets.remove_prefix(1);
        const std::string_view word = std::string_view(begun_).substr(std::min(begun_.find_first_not_of('>'), begun_.size()));
        beginning_ = mark.starts_with(word) && begun_.size() <= most_quotes;
        skipping_ = beginning_ && word == mark;
        if (skipping_)
            begun_.clear();
    }
    if (beginning_)
        return {};
    const std::string out = take(std::exchange(begun_, {}));
    return out.empty() ? take(octets) : out + take(octets);
}

std::string InputText::take(std::string_view octets)
{
    std::string out;
    out.reserve(octets.size() + octets.size() / 16);
    for (const char octet : octets) {
        if (ended_)
            break;
        if (octet == '\n') {
            end_line(out);
            continue;
        }
        if (cr_) {                                                 // a CR inside the line
            out += only_dot_ ? ".\r" : "\r";
            only_dot_ = false;
            cr_ = false;
        }
        if (octet == '\r') {
            cr_ = true;
            line_empty_ = false;
            continue;
        }
        if (only_dot_) {
            out += '.';
            only_dot_ = false;
        }
        if (line_empty_ && octet == '.' && dot_ends_)
            only_dot_ = true;                                      // held back until it is clear what it is
        else
            out += octet;
        line_empty_ = false;
    }
    return out;
}

void InputText::end_line(std::string& out)
{
    if (first_line_)
        strip_ = fix_ == FixLineEndings::always || (fix_ == FixLineEndings::strict && cr_);
    first_line_ = false;
    const bool keep_cr = cr_ && !strip_.value_or(false);
    cr_ = false;
    line_empty_ = true;
    if (only_dot_) {
        only_dot_ = false;
        if (!keep_cr) {
            ended_ = true;
            return;
        }
        out += '.';
    }
    out += keep_cr ? "\r\r\n" : "\r\n";
}

std::string InputText::finish()
{
    std::string out = take(std::exchange(begun_, {}));
    if (!ended_ && !line_empty_)
        end_line(out);
    ended_ = true;
    return out;
}

}  // namespace posthorn::submit
