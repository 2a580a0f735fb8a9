// Text files of tables: logical lines, cidr, regexp, pcre. Input: a key, a line end, the file. Lines are counted upwards and hold no line end; cutting
// cidr rules into ranges answers as walking through them does; leaving regexec out where a literal is missing never hides a match; what is left out is
// said with its line.
#include "fuzz.hpp"

#include "base/strings.hpp"
#include "tables/cidr.hpp"
#include "tables/fixed.hpp"
#include "tables/patterns.hpp"

#include <fmt/format.h>

#include <regex.h>
#include <sys/mman.h>
#include <unistd.h>

namespace posthorn::fuzz {

using namespace posthorn::tables;

namespace {

/// Any file is the text.
class OneText final : public FileOpener {
public:
    explicit OneText(std::string_view text) : text_(text) {}
    Result<Fd> open(const std::string&) override
    {
        Fd file{::memfd_create("text", MFD_CLOEXEC)};
        FUZZ_CHECK(file && ::pwrite(file.get(), text_.data(), text_.size(), 0) == static_cast<::ssize_t>(text_.size()));
        return file;
    }
    Result<FileStamp> stamp(const std::string&) override { return FileStamp{1, 1, text_.size(), {}}; }

private:
    std::string_view text_;
};

void check_warnings(const Warnings& warnings)
{
    for (const std::string& warning : warnings)
        FUZZ_CHECK(!warning.empty() && warning.find('\n') == std::string::npos);
}

/// The value for `address` by walking: rules without IF and ENDIF only.
std::optional<std::string> walk(const std::vector<LogicalLine>& lines, const Address& address)
{
    for (const LogicalLine& line : lines) {
        std::string_view rest = trim(line.text);
        bool negated = false;
        for (; rest.starts_with('!'); rest = trim(rest.substr(1)))
            negated = !negated;
        const std::string_view pattern = rest.substr(0, rest.find_first_of(" \t"));
        const std::string_view value = trim(rest.substr(pattern.size()));
        const auto network = parse_network(pattern);
        if (network && !value.empty() && network->v6 == address.v6 && network->contains(address) != negated)
            return std::string(value);
    }
    return std::nullopt;
}

void check_cidr(const std::vector<LogicalLine>& lines, std::string_view key)
{
    OneText files({});
    Warnings warnings;
    const auto rules = CidrRules::parse(lines, "t", {}, files, warnings);
    FUZZ_CHECK(rules.has_value());
    check_warnings(warnings);
    const bool blocks = std::ranges::any_of(lines, [](const LogicalLine& line) {
        const std::string_view word = trim(line.text).substr(0, trim(line.text).find_first_of(" \t"));
        return iequals(word, "if") || iequals(word, "endif");
    });
    const auto address = parse_address(key);
    if (!address || blocks)
        return;
    const std::string* found = (*rules)->find(*address);
    const auto wanted = walk(lines, *address);
    FUZZ_CHECK((found != nullptr) == wanted.has_value() && (found == nullptr || *found == *wanted));
}

/// Those that regcomp(3) itself makes huge or slow: repetitions with numbers, references back, much nesting.
bool costly(std::string_view text)
{
    std::size_t open = 0, many = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        open += text[at] == '(' ? 1U : 0U;
        many += text[at] == '*' || text[at] == '+' ? 1U : 0U;
        if ((text[at] == '{' && (at == 0 || text[at - 1] != '$')) || (text[at] == '\\' && at + 1 < text.size() && is_digit(text[at + 1])))
            return true;
    }
    return open > 8 || many > 16;
}

void check_literals(std::string_view pattern, std::string_view key)
{
    const std::string text(pattern.substr(0, pattern.find('\0')));
    ::regex_t compiled{};
    if (::regcomp(&compiled, text.c_str(), REG_EXTENDED | REG_ICASE | REG_NOSUB) != 0)
        return;
    const std::string subject(key.substr(0, key.find('\0')));
    const bool matches = ::regexec(&compiled, subject.c_str(), 0, nullptr, 0) == 0;
    ::regfree(&compiled);
    if (!matches)
        return;
    const std::string lower = to_lower(subject);
    std::size_t at = 0;
    for (const std::string& literal : required_literals(text, true)) {
        at = lower.find(literal, at);
        FUZZ_CHECK(at != std::string::npos);
        at += literal.size();
    }
}

}  // namespace

void fuzz_one(std::string_view input)
{
    if (input.size() > 2000)
        return;
    const std::size_t end = input.find('\n');
    const std::string key(input.substr(0, end));  // the sanitizers' regexec looks for a NUL, whatever its flags
    const std::string_view text = end == std::string_view::npos ? std::string_view{} : input.substr(end + 1);
    Warnings warnings;
    std::vector<LogicalLine> lines;
    LogicalLines source(text, "t", warnings);
    for (LogicalLine line; source.next(line); lines.push_back(line)) {
        FUZZ_CHECK(!line.text.empty() && line.text.find('\n') == std::string::npos);
        FUZZ_CHECK(line.number > (lines.empty() ? 0 : lines.back().number));
        std::string_view rest = line.text;
        bool unbalanced = false;
        FUZZ_CHECK(inside(take_key(rest, unbalanced), line.text) && inside(rest, line.text));
        if (const auto entry = parse_key_value(line, "t", {}, warnings))
            FUZZ_CHECK(!entry->key.empty() && !entry->value.empty() && entry->line == line.number);
        for (const std::string_view piece : split_braced(line.text)) {
            FUZZ_CHECK(!piece.empty() && inside(piece, line.text));
            if (const auto content = unbrace(piece))
                FUZZ_CHECK(inside(*content, piece) && content->size() + 2 <= piece.size());
            if (const auto pair = split_name_value(piece))
                FUZZ_CHECK(!pair->first.empty() && inside(pair->second, piece));
        }
    }
    check_warnings(warnings);
    check_cidr(lines, key);
    if (costly(text) || key.size() > 100)
        return;
    check_literals(text.substr(0, text.find('\n')), key);

    const HandClock clock;
    Tables all(observe::Log{std::make_shared<observe::MemorySink>(), "fuzz"}, clock, std::make_shared<OneText>(text));
    for (const std::string kind : {"regexp:t", "pcre:t", "cidr:t"}) {
        const auto table = all.open(kind);
        const Answer first = table->find(key), again = table->find(key);
        FUZZ_CHECK(first.has_value() == again.has_value());
        if (first)
            FUZZ_CHECK(*first == *again);
        else
            FUZZ_CHECK(!first.error().what().empty());
    }
}

}  // namespace posthorn::fuzz
