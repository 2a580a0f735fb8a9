// Perl's regular expressions, compiled to machine code where that is allowed; a match has a limit of steps, so that no text
// from the network can keep a process busy.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/strings.hpp"
#include "tables/patterns.hpp"

#include <fmt/format.h>

#include <pcre2.h>

namespace posthorn::tables {

namespace {

constexpr std::uint32_t match_limit = 1'000'000, depth_limit = 10'000, heap_limit_kib = 8 * 1024;

template <auto free>
struct Free {
    void operator()(auto* what) const { free(what); }
};
using Code = std::unique_ptr<pcre2_code, Free<pcre2_code_free_8>>;
using MatchData = std::unique_ptr<pcre2_match_data, Free<pcre2_match_data_free_8>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Free<pcre2_match_context_free_8>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Free<pcre2_jit_stack_free_8>>;

std::string text_of(int error)
{
    std::array<PCRE2_UCHAR, 256> text{};
    pcre2_get_error_message(error, text.data(), text.size());
    return reinterpret_cast<const char*>(text.data());
}

/// Tables live on one event loop: all share one context and one stack.
pcre2_match_context* context()
{
    static const JitStack stack{pcre2_jit_stack_create(32 * 1024, 1024 * 1024, nullptr)};
    static const MatchContext shared = [] {
        MatchContext made{pcre2_match_context_create(nullptr)};
        pcre2_set_match_limit(made.get(), match_limit);
        pcre2_set_depth_limit(made.get(), depth_limit);
        pcre2_set_heap_limit(made.get(), heap_limit_kib);
        pcre2_jit_stack_assign(made.get(), nullptr, stack.get());
        return made;
    }();
    return shared.get();
}

class PcreMatcher final : public Matcher {
public:
    static Result<std::unique_ptr<Matcher>> compile(const std::string& pattern, std::string_view options, bool utf8)
    {
        std::uint32_t flags = PCRE2_CASELESS | PCRE2_DOTALL | (utf8 ? PCRE2_UTF : 0);
        for (const char option : options)
            flags ^= flag_of(option);
        int error = 0;
        PCRE2_SIZE offset = 0;
        auto matcher = std::make_unique<PcreMatcher>();
        matcher->code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), flags, &error, &offset, nullptr));
        if (!matcher->code_)
            return Error{fmt::format("error in regex at offset {}: {}", offset, text_of(error))};
        pcre2_jit_compile(matcher->code_.get(), PCRE2_JIT_COMPLETE);                    // without it, matching is slower
        matcher->data_.reset(pcre2_match_data_create_from_pattern(matcher->code_.get(), nullptr));
        std::uint32_t count = 0;
        pcre2_pattern_info(matcher->code_.get(), PCRE2_INFO_CAPTURECOUNT, &count);
        matcher->groups_ = count;
        return matcher;
    }

    Result<bool> match(Subject& subject, std::vector<Group>* groups) override
    {
        const int result = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(subject.text.data()), subject.text.size(), 0, PCRE2_NO_UTF_CHECK,
                                       data_.get(), context());
        if (result == PCRE2_ERROR_NOMATCH)
            return false;
        if (result < 0)
            return Error{fmt::format("pcre: {}", text_of(result)), "4.3.0"};
        if (groups != nullptr) {
            groups->clear();
            const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data_.get());
            for (std::size_t i = 0; i < static_cast<std::size_t>(result); ++i)
                groups->push_back(ends[2 * i] == PCRE2_UNSET ? Group{1, 0} : Group{ends[2 * i], ends[2 * i + 1]});
        }
        return true;
    }
    std::size_t groups() const override { return groups_; }

private:
    static std::uint32_t flag_of(char option)
    {
        switch (option) {
        case 'i': return PCRE2_CASELESS;
        case 'm': return PCRE2_MULTILINE;
        case 's': return PCRE2_DOTALL;
        case 'x': return PCRE2_EXTENDED;
        case 'A': return PCRE2_ANCHORED;
        case 'E': return PCRE2_DOLLAR_ENDONLY;
        case 'U': return PCRE2_UNGREEDY;
        default: return 0;                                       // X: PCRE2 is always as strict
        }
    }
    Code code_;
    MatchData data_;
    std::size_t groups_ = 0;
};

constexpr PatternSyntax pcre_syntax{"pcre", "ignoring", "imsxAEUX", PcreMatcher::compile};

Result<std::shared_ptr<const PatternRules>> parse_pcre(std::span<const LogicalLine> lines, std::string_view file, Flags flags, FileOpener& opener,
                                                       Warnings& warnings)
{
    return PatternRules::parse(pcre_syntax, lines, file, flags, opener, warnings);
}

class PcreTable final : public RulesTable<PatternRules> {
public:
    using RulesTable::RulesTable;
    Answer find(std::string_view key) override
    {
        TRY(const PatternRules* now, rules());
        if (flags_.utf8 && !is_ascii(key) && !is_valid_utf8(key))
            return std::nullopt;                                 // matching relies on it
        return now->find(key);
    }
};

}  // namespace

std::shared_ptr<Table> open_pcre(std::string spec, std::string name, Flags flags, Tables& tables)
{
    return std::make_shared<PcreTable>(std::move(spec), name, flags, tables.site(), parse_pcre);
}

}  // namespace posthorn::tables
