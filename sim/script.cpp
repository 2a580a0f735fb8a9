#include "sim/script.hpp"

#include "sim/peers.hpp"

#include "base/strings.hpp"

namespace posthorn::sim {

namespace {

int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    const char low = ascii_lower(c);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

std::string unescape(std::string_view text)
{
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\' || i + 1 == text.size()) {
            out += text[i];
            continue;
        }
        switch (const char c = text[++i]) {
        case 'r': out += '\r'; break;
        case 'n': out += '\n'; break;
        case 't': out += '\t'; break;
        case '0': out += '\0'; break;
        case 'x':
            if (i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
                out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
                i += 2;
                break;
            }
            out += 'x';
            break;
        default: out += c;
        }
    }
    return out;
}

std::optional<std::chrono::milliseconds> parse_time(std::string_view text)
{
    std::uint64_t unit = 1000;
    if (text.ends_with("ms")) {
        unit = 1;
        text.remove_suffix(2);
    } else if (text.ends_with('s'))
        text.remove_suffix(1);
    const auto number = parse_number(text);
    if (!number || *number > 86400000)
        return std::nullopt;
    return std::chrono::milliseconds(*number * unit);
}

class Parser {
public:
    Parser(std::string_view text, std::string_view name) : text_(text) { script_.name = name; }

    Result<Script> run()
    {
        target_.push_back(&script_.opening);
        for (std::string_view line : split_exact(text_, '\n')) {
            ++line_;
            line = trim(line);
            if (line.empty() || line.front() == '#')
                continue;
            const auto space = line.find_first_of(" \t");
            const auto word = line.substr(0, space);
            const auto rest = space == line.npos ? std::string_view{} : trim(line.substr(space));
            TRY_VOID(take(word, rest));
        }
        if (target_.size() > 1)
            return wrong("repeat without end");
        if (!like_.empty()) {
            TRY(Script base, Script::parse(peer_text(like_), like_));
            if (script_.opening.empty())
                script_.opening = std::move(base.opening);
            std::ranges::move(base.blocks, std::back_inserter(script_.blocks));
        }
        return std::move(script_);
    }

private:
    Error wrong(std::string_view what) const { return Error(fmt::format("{}, line {}: {}", script_.name, line_, what)); }

    Result<void> take(std::string_view word, std::string_view rest)
    {
        if (word == "product")
            script_.product = rest;
        else if (word == "expect")
            script_.expect += (script_.expect.empty() ? "" : " ") + std::string(rest);
        else if (word == "host")
            script_.host = rest;
        else if (word == "like") {
            if (peer_text(rest).empty() || rest == script_.name)
                return wrong(fmt::format("like: there is no peer '{}'", rest));
            like_ = rest;
        } else if (word == "reads") {
            if (rest == "line")
                script_.reads = Reads::line;
            else if (rest == "segment")
                script_.reads = Reads::segment;
            else if (rest == "group")
                script_.reads = Reads::group;
            else
                return wrong("reads line, segment or group");
        } else if (word == "forgets") {
            if (!rest.starts_with("before "))
                return wrong("forgets before VERB");
            script_.forgets_before = trim(rest.substr(7));
            script_.reads = Reads::group;
        } else if (word == "tls") {
            if (rest != "on connect" && rest != "with greeting")
                return wrong("tls on connect, or tls with greeting");
            script_.tls_on_connect = true;
            script_.greets_in_tls = rest == "with greeting";
        } else if (word == "on")
            return block(rest);
        else if (word == "end") {
            if (target_.size() < 2)
                return wrong("end without repeat");
            target_.pop_back();
        } else
            return step(word, rest);
        return {};
    }

    Result<void> block(std::string_view rest)
    {
        if (target_.size() > 1)
            return wrong("repeat without end");
        Block made;
        made.line = line_;
        while (rest.ends_with(']')) {
            const auto open = rest.rfind('[');
            if (open == rest.npos)
                break;
            const auto words = split(rest.substr(open + 1, rest.size() - open - 2));
            if (words.size() == 1 && words[0] == "grouped") {
                made.grouped = true;
                rest = trim(rest.substr(0, open));
                continue;
            }
            if (words.size() != 2)
                return wrong("[in STATE], [nth N], [from N] or [grouped]");
            if (words[0] == "in")
                made.in_state = words[1];
            else {
                const auto number = parse_number(words[1]);
                if (!number || *number == 0 || *number > UINT32_MAX || (words[0] != "nth" && words[0] != "from"))
                    return wrong("[in STATE], [nth N], [from N] or [grouped]");
                made.from = static_cast<std::uint32_t>(*number);
                if (words[0] == "nth")
                    made.to = made.from;
            }
            rest = trim(rest.substr(0, open));
        }
        if (rest.empty())
            return wrong("on needs a pattern");
        made.pattern = rest;
        script_.blocks.push_back(std::move(made));
        target_ = {&script_.blocks.back().actions};
        return {};
    }

    Result<void> step(std::string_view word, std::string_view rest)
    {
        struct Name {
            std::string_view word;
            Op op;
            bool argument;
        };
        static constexpr auto names = std::to_array<Name>({
            {"S", Op::say, false},
            {"s", Op::say_octets, true},
            {"C", Op::want, true},
            {">", Op::want_same_segment, true},
            {"content", Op::content, false},
            {"chunk", Op::chunk, false},
            {"flush", Op::flush, false},
            {"wait", Op::wait, true},
            {"drop", Op::drop, false},
            {"silence", Op::silence, false},
            {"starttls", Op::starttls, false},
            {"state", Op::state, true},
            {"close", Op::close, false},
            {"reset", Op::reset, false},
            {"repeat", Op::repeat, true},
            {"serve", Op::serve, false},
            {"unsay", Op::unsay, false},
        });
        const auto* const name = std::ranges::find(names, word, &Name::word);
        if (name == names.end())
            return wrong(fmt::format("unknown word '{}'", word));
        if (name->argument && rest.empty())
            return wrong(fmt::format("{} needs an argument", word));
        Action action{.op = name->op, .text = std::string(rest), .line = line_};
        switch (action.op) {
        case Op::say:
        case Op::say_octets: action.text = unescape(rest); break;
        case Op::repeat:
        case Op::content: {
            const auto number = parse_number(rest);
            if (!rest.empty() && !number)
                return wrong(fmt::format("{} takes a number", word));
            action.number = number.value_or(0);
            break;
        }
        case Op::wait: {
            const auto pause = parse_time(rest);
            if (!pause)
                return wrong("wait takes a time: 250ms, 2s");
            action.pause = *pause;
            break;
        }
        default: break;
        }
        const bool opens = action.op == Op::repeat;
        // Inside a repeat the enclosing vector does not grow until `end`, so the pointers into it stay good.
        target_.back()->push_back(std::move(action));
        if (opens)
            target_.push_back(&target_.back()->back().body);
        return {};
    }

    std::string_view text_, like_;
    Script script_;
    std::vector<std::vector<Action>*> target_;
    int line_ = 0;
};

}  // namespace

Result<Script> Script::parse(std::string_view text, std::string_view name) { return Parser(text, name).run(); }

bool matches(std::string_view pattern, std::string_view line, std::vector<std::string_view>* captures)
{
    struct Star {
        std::size_t pattern, from, to;
    };
    std::vector<Star> stars;
    std::size_t p = 0, l = 0;
    while (true) {
        if (p < pattern.size() && pattern[p] == '*') {
            stars.push_back({p++, l, l});
            continue;
        }
        if (p == pattern.size() && l == line.size())
            break;
        if (p < pattern.size() && l < line.size() && (pattern[p] == '?' || ascii_lower(pattern[p]) == ascii_lower(line[l]))) {
            ++p;
            ++l;
            continue;
        }
        while (!stars.empty() && stars.back().to == line.size())
            stars.pop_back();
        if (stars.empty())
            return false;
        l = ++stars.back().to;
        p = stars.back().pattern + 1;
    }
    if (captures) {
        captures->clear();
        for (const Star& star : stars)
            captures->push_back(line.substr(star.from, star.to - star.from));
    }
    return true;
}

}  // namespace posthorn::sim
