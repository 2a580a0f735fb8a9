#include "smtp/data.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace posthorn::smtp {
namespace {

std::size_t find(std::string_view text, char c, std::size_t from = 0)
{
    if (from >= text.size())
        return text.npos;
    const void* at = std::memchr(text.data() + from, c, text.size() - from);
    return at == nullptr ? text.npos : static_cast<std::size_t>(static_cast<const char*>(at) - text.data());
}

// Octets are counted in octets, 128 at a time, so that the compiler's vectors hold 16 or 32 of them.
std::size_t count_cr(std::string_view text)
{
    std::size_t total = 0;
    const char* at = text.data();
    for (std::size_t left = text.size(); left != 0;) {
        const std::size_t block = std::min<std::size_t>(left, 128);
        std::uint8_t count = 0;
        for (std::size_t i = 0; i < block; ++i)
            count = static_cast<std::uint8_t>(count + (at[i] == '\r' ? 1 : 0));
        total += count;
        at += block;
        left -= block;
    }
    return total;
}

// The octets at the front that are lines which are content as they stand: ended by CRLF, no dot in front, no other CR in them. CRs are counted
// afterwards, which goes by vectors. Where there is one too many, `slow_until` is set: up to there the lines are to be looked at one by one,
// so that no octet is scanned here twice.
std::size_t ordinary_lines(std::string_view text, const char*& slow_until)
{
    std::size_t run = 0;
    std::size_t lines = 0;
    for (;;) {
        if (run == text.size() || text[run] == '.')
            break;
        const std::size_t lf = find(text, '\n', run);
        if (lf == text.npos || lf == run || text[lf - 1] != '\r')
            break;
        run = lf + 1;
        ++lines;
    }
    if (count_cr(text.substr(0, run)) == lines)
        return run;
    slow_until = text.data() + run;
    return 0;
}

// Appends one line's text, each CR in it being stray.
void append_text(std::string_view text, StrayCr stray_cr, bool& seen, std::string& out)
{
    const std::size_t start = out.size();
    out.append(text);
    for (std::size_t cr = find(text, '\r'); cr != text.npos; cr = find(text, '\r', cr + 1)) {
        seen = true;
        if (stray_cr == StrayCr::space)
            out[start + cr] = ' ';
    }
}

}  // namespace

void LineEnds::feed(std::string_view octets, std::string& out)
{
    bool seen = false;
    if (cr_ && !octets.empty()) {
        cr_ = false;
        if (octets.front() != '\n')
            append_text("\r", stray_cr_, seen, out);
        else {
            out += "\r\n";
            line_open_ = false;
            octets.remove_prefix(1);
        }
    }
    while (!octets.empty()) {
        const std::size_t lf = find(octets, '\n');
        if (lf == octets.npos) {
            line_open_ = true;
            if (octets.back() == '\r') {
                cr_ = true;
                octets.remove_suffix(1);
            }
            append_text(octets, stray_cr_, seen, out);
            return;
        }
        const bool crlf = lf > 0 && octets[lf - 1] == '\r';
        bare_lf_ = bare_lf_ || !crlf;
        append_text(octets.substr(0, crlf ? lf - 1 : lf), stray_cr_, seen, out);
        out += "\r\n";
        line_open_ = false;
        octets.remove_prefix(lf + 1);
    }
}

void LineEnds::finish(std::string& out)
{
    bool seen = false;
    if (std::exchange(cr_, false))
        append_text("\r", stray_cr_, seen, out);
    if (std::exchange(line_open_, false))
        out += "\r\n";
}

bool DataReader::ends_content(bool bare) const
{
    if (options_.bare_lf == BareLf::no)
        return true;
#ifdef POSTHORN_PLANT_BUG_smtp_data  // LF.CRLF ends the content: the smuggling of 2023 (scripts/fuzz-planted)
    return !bare;
#else
    return after_crlf_ && !bare;
#endif
}

void DataReader::end_line(bool bare, std::string& out)
{
    out += "\r\n";
    end_dot_line(bare);
}

// A line of one dot that did not end the content is dropped, as Postfix does.
void DataReader::end_dot_line(bool bare)
{
    bare_lf_ = bare_lf_ || bare;
    after_crlf_ = !bare;
    state_ = State::start;
}

bool DataReader::feed(std::string_view& octets, std::string& out)
{
    const char* const begin = octets.data();
    const auto done = [&](std::string_view rest) {
        octets_ += static_cast<std::uint64_t>(rest.data() - begin);
        octets = rest;
    };
    std::string_view rest = octets;
    const char* slow_until = begin;
    const auto drop = [&](std::size_t count) { rest.remove_prefix(count); };
    for (;;) {
        if (state_ == State::start) {
            // As many whole ordinary lines as there are, in one copy.
            if (const std::size_t run = rest.data() >= slow_until ? ordinary_lines(rest, slow_until) : 0; run != 0) {
                out.append(rest.substr(0, run));
                drop(run);
                after_crlf_ = true;
            }
            if (rest.empty())
                break;
            if (rest.front() == '.') {
                drop(1);
                state_ = State::dot;
            } else {
                state_ = State::text;
            }
            continue;
        }
        if (rest.empty())
            break;
        if (state_ == State::dot) {
            if (rest.front() == '\r') {
                drop(1);
                state_ = State::dot_cr;
            } else if (rest.front() == '\n') {
                drop(1);
                if (ends_content(true)) {
                    bare_lf_ = true;
                    octets_ -= 2;  // modulo 2^64: this piece is added by done()
                    done(rest);
                    return true;
                }
                end_dot_line(true);
            } else {
                state_ = State::text;
            }
        } else if (state_ == State::dot_cr) {
            if (rest.front() == '\n') {
                drop(1);
                if (ends_content(false)) {
                    octets_ -= 3;
                    done(rest);
                    return true;
                }
                end_dot_line(false);
            } else {
                append_text("\r", options_.stray_cr, stray_cr_, out);
                state_ = State::text;
            }
        } else if (state_ == State::text_cr) {
            if (rest.front() == '\n') {
                drop(1);
                end_line(false, out);
            } else {
                append_text("\r", options_.stray_cr, stray_cr_, out);
                state_ = State::text;
            }
        } else {
            const std::size_t lf = find(rest, '\n');
            if (lf == rest.npos) {
                const bool cr = rest.back() == '\r';
                append_text(rest.substr(0, rest.size() - (cr ? 1 : 0)), options_.stray_cr, stray_cr_, out);
                rest.remove_prefix(rest.size());
                state_ = cr ? State::text_cr : State::text;
                break;
            }
            const bool crlf = lf > 0 && rest[lf - 1] == '\r';
            append_text(rest.substr(0, crlf ? lf - 1 : lf), options_.stray_cr, stray_cr_, out);
            drop(lf + 1);
            end_line(!crlf, out);
        }
    }
    done(rest);
    return false;
}

std::size_t DataWriter::pass(std::string_view octets) const
{
    if (cr_ || column_ != 0)
        return 0;
    std::size_t run = 0;
    while (run < octets.size() && octets[run] != '.') {
        const std::size_t lf = find(octets, '\n', run);
        if (lf == octets.npos || (line_limit_ != 0 && lf - run > line_limit_ + (lf > run && octets[lf - 1] == '\r' ? 1 : 0)))
            break;
        run = lf + 1;
    }
    return run;
}

void DataWriter::feed(std::string_view octets, std::string& out)
{
    if (octets.empty())
        return;
    if (std::exchange(cr_, false)) {
        if (octets.front() == '\n') {
            out += "\r\n";
            column_ = 0;
            octets.remove_prefix(1);
        } else {
            put("\r", out);
        }
    }
    if (octets.ends_with('\r')) {
        cr_ = true;
        octets.remove_suffix(1);
    }
    put(octets, out);
}

void DataWriter::put(std::string_view octets, std::string& out)
{
    while (!octets.empty()) {
        const std::size_t lf = find(octets, '\n');
        if (line_limit_ != 0) {
            std::size_t length = std::min(lf, octets.size());
            if (lf != octets.npos && lf > 0 && octets[lf - 1] == '\r')
                --length;
            if (column_ + length > line_limit_) {
                const std::size_t room = line_limit_ - column_;
                if (column_ == 0 && octets.front() == '.')
                    out += '.';
                out.append(octets.substr(0, room));
                out += "\r\n ";
                octets.remove_prefix(room);
                broke_line_ = true;
                column_ = 1;
                continue;
            }
        }
        if (column_ == 0 && octets.front() == '.')
            out += '.';
        if (lf == octets.npos) {
            out.append(octets);
            column_ += octets.size();
            return;
        }
        // Runs of ordinary lines go in one copy.
        std::size_t end = lf + 1;
        while (line_limit_ == 0 && end < octets.size() && octets[end] != '.') {
            const std::size_t next = find(octets, '\n', end);
            if (next == octets.npos)
                break;
            end = next + 1;
        }
        out.append(octets.substr(0, end));
        octets.remove_prefix(end);
        column_ = 0;
    }
}

void DataWriter::finish(std::string& out)
{
    if (std::exchange(cr_, false) || column_ != 0)  // a CR that was held back is half a line end
        out += "\r\n";
    out += ".\r\n";
    column_ = 0;
}

bool LongLines::feed(std::string_view octets)
{
    while (line_limit_ != 0 && !octets.empty()) {
        const std::size_t lf = find(octets, '\n');
        column_ += std::min(lf, octets.size());
        if (column_ > line_limit_ + 1)  // the CR before the LF is not of the line
            return true;
        if (lf == octets.npos)
            return false;
        column_ = 0;
        octets.remove_prefix(lf + 1);
    }
    return false;
}

bool goes_as_it_is(std::string_view content, std::size_t line_limit)
{
    if (!content.empty() && !content.ends_with("\r\n"))
        return false;
    for (std::size_t start = 0; start < content.size();) {
        if (content[start] == '.')
            return false;
        const std::size_t lf = find(content, '\n', start);
        if (line_limit != 0 && lf - start > line_limit + 1)
            return false;
        start = lf + 1;
    }
    return true;
}

void append_with_lf(std::string_view octets, bool& held_cr, std::string& out)
{
    if (held_cr && !octets.empty()) {
        if (octets.front() != '\n')
            out += '\r';
        held_cr = false;
    }
    while (!octets.empty()) {
        const std::size_t cr = find(octets, '\r');
        if (cr == octets.npos) {
            out.append(octets);
            return;
        }
        out.append(octets.substr(0, cr));
        octets.remove_prefix(cr + 1);
        if (octets.empty()) {
            held_cr = true;
            return;
        }
        if (octets.front() != '\n')
            out += '\r';
    }
}

}  // namespace posthorn::smtp
