#include "smtp/reply.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "base/strings.hpp"

namespace posthorn::smtp {

Reply::Reply(int reply_code, std::string_view status, std::string_view text) : code(reply_code)
{
    for (std::string_view line : split_exact(text, '\n')) {
        // No text of ours, and none that a table or a policy server gives, may start a line of its own.
        std::string clean;
        if (!status.empty())
            clean = fmt::format("{} ", status);
        for (char c : line)
            clean += c == '\r' || c == '\0' ? ' ' : c;
        lines.push_back(std::move(clean));
    }
}

std::string_view enhanced_code(std::string_view text)
{
    // class "." subject "." detail: one digit of 2, 4, 5, then one to three digits twice.
    std::size_t i = 0;
    if (text.size() < 5 || (text[0] != '2' && text[0] != '4' && text[0] != '5') || text[1] != '.')
        return {};
    i = 2;
    for (int part = 0; part < 2; ++part) {
        const std::size_t start = i;
        while (i < text.size() && is_digit(text[i]))
            ++i;
        if (i == start || i - start > 3 || (part == 0 && (i == text.size() || text[i++] != '.')))
            return {};
    }
    if (i < text.size() && !is_space(text[i]))
        return {};
    return text.substr(0, i);
}

std::string Reply::status() const
{
    if (!valid() || digit() == 3 || lines.empty())
        return {};
    for (const std::string* line : {&lines.back(), &lines.front()})
        if (const auto status = enhanced_code(*line); !status.empty() && status.front() - '0' == digit())
            return std::string(status);
    return fmt::format("{}.0.0", digit());
}

std::string Reply::logged() const
{
    std::string joined;
    for (std::size_t i = 0; i < std::max<std::size_t>(lines.size(), 1); ++i) {
        if (i != 0)
            joined += ' ';
        joined += wire_line(i);
    }
    return printable(joined, true);
}

std::string Reply::text() const
{
    std::string joined;
    for (const std::string& line : lines) {
        std::string_view rest = line;
        if (const auto status = enhanced_code(rest); !status.empty())
            rest = trim(rest.substr(status.size()));
        if (!joined.empty())
            joined += ' ';
        joined += rest;
    }
    return joined;
}

std::string within_line_limit(std::string_view replies)
{
    constexpr std::size_t most = 512 - 2;
    std::string made;
    for (std::size_t begin = 0; begin < replies.size();) {
        const std::size_t end = std::min(replies.find("\r\n", begin), replies.size());
        std::string_view line = replies.substr(begin, end - begin);
        begin = std::min(end + 2, replies.size());
        const std::string_view code = line.substr(0, 3);
        const std::string_view status = enhanced_code(line.substr(std::min<std::size_t>(4, line.size())));
        std::string rest;
        while (line.size() > most && code != "334") {
            const std::size_t first = 4 + (status.empty() ? 0 : status.size() + 1);
            std::size_t cut = line.find_last_of(' ', most);
            const bool at_space = cut != std::string_view::npos && cut > first;
            if (!at_space)
                for (cut = most; (static_cast<unsigned char>(line[cut]) & 0xc0) == 0x80 && cut > most - 3;)
                    --cut;
            fmt::format_to(std::back_inserter(made), "{}-{}\r\n", code, line.substr(4, cut - 4));
            rest = fmt::format("{}{}{}{}{}", code, line[3], status, status.empty() ? "" : " ", line.substr(cut + (at_space ? 1 : 0)));
            line = rest;
        }
        made += line;
        made += replies.substr(end, begin - end);
    }
    return made;
}

std::string Reply::wire() const
{
    std::string out;
    for (std::size_t i = 0; i < std::max<std::size_t>(lines.size(), 1); ++i) {
        out += wire_line(i);
        out += "\r\n";
    }
    return out;
}

std::string Reply::wire_line(std::size_t at) const
{
    const std::string_view text = lines.empty() ? std::string_view() : lines[at];
    std::string line;
    line.reserve(4 + text.size());
    for (int unit = 100; unit != 0; unit /= 10)
        line += static_cast<char>('0' + code / unit % 10);
    line += at + 1 < lines.size() ? '-' : ' ';
    line += text;
    return line;
}

Result<std::optional<Reply>> ReplyParser::feed(std::string_view& octets)
{
    while (!octets.empty()) {
        if (read_ > limits_.octets)
            return Error{"reply too long", "4.4.2"}.after(line_);
        const std::size_t lf = octets.find('\n');
        const bool ends = lf != std::string_view::npos;
        const std::string_view piece = octets.substr(0, lf);
        octets.remove_prefix(piece.size() + (ends ? 1 : 0));
        read_ += piece.size() + 1;
        bool whole = false;
        if (ends && line_.empty() && piece.size() <= limits_.line) {
            whole = take_line(piece);                               // nearly always a line comes in one piece
        } else {
            const std::size_t keep = std::min(piece.size(), limits_.line + 1 - std::min(line_.size(), limits_.line + 1));
            line_.append(piece.substr(0, keep));
            line_cut_ = line_cut_ || keep < piece.size();
            whole = ends && take_line(std::exchange(line_, {}));
        }
        if (whole) {
            read_ = 0;
            return std::optional<Reply>{std::exchange(reply_, Reply{})};
        }
    }
    return std::optional<Reply>{};
}

bool ReplyParser::take_line(std::string_view line)
{
    const bool cut = std::exchange(line_cut_, false);
    bool bare_lf = false;
    if (line.ends_with('\r'))
        line.remove_suffix(1);
    else
        bare_lf = !cut;
    line = line.substr(0, limits_.line);

    std::size_t digits = 0;
    while (digits < line.size() && is_digit(line[digits]))
        ++digits;
    if (digits != 3) {
        if (reply_.garbage++ == 0)
            reply_.garbage_line = line;
        return false;
    }
    const int code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    const char mark = line.size() > 3 ? line[3] : ' ';
    const bool separated = mark == ' ' || mark == '-' || mark == '\t';
    if (!separated && !is_alpha(mark)) {
        if (reply_.garbage++ == 0)
            reply_.garbage_line = line;
        return false;
    }
    reply_.mixed_codes = reply_.mixed_codes || (reply_.code != 0 && reply_.code != code);
    reply_.irregular = reply_.irregular || bare_lf || !separated;
    reply_.cut = reply_.cut || cut;
    reply_.code = code;
#ifdef POSTHORN_PLANT_BUG_smtp_reply  // the limit on lines is off by one (scripts/fuzz-planted)
    if (reply_.lines.size() == limits_.lines + 1) {
#else
    if (reply_.lines.size() == limits_.lines) {
#endif
        reply_.lines.pop_back();
        reply_.cut = true;
    }
    reply_.lines.emplace_back(line.substr(std::min<std::size_t>(separated ? 4 : 3, line.size())));
    return mark != '-';
}

}  // namespace posthorn::smtp
