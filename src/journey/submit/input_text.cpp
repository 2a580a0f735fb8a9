#include "submit/input_text.hpp"

namespace posthorn::submit {

std::string InputText::feed(std::string_view octets)
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
    std::string out;
    if (!ended_ && !line_empty_)
        end_line(out);
    ended_ = true;
    return out;
}

}  // namespace posthorn::submit
