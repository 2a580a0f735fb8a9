// tables/question.hpp: what a key becomes for a source that is asked in words: query templates, result formats, the domains asked about.
// Template  %s %u %d (the value: whole, local part, domain), %S %U %D (the key's), %1 to %9 (the key's domain from its end), %%.
//           What the value or key does not have makes the whole expansion empty: nothing is asked, or the result is passed over.
// Limits    expansion_limit: more results are an Error. An empty result is passed over, with a warning: whoever wrote it meant something.
// Facts: mysql_table(5), "query", "result_format", "domain".
#pragma once

#include "tables/match_list.hpp"
#include "tables/source_config.hpp"

namespace posthorn::tables {

class Template {
public:
    using Quote = std::function<std::string(std::string_view)>;

    /// The Error says which % is none.
    static Result<Template> parse(std::string text);
    /// In a query value and key are the same.
    std::optional<std::string> expand(std::string_view value, std::string_view key, const Quote& quote) const;
    const std::string& text() const { return text_; }
    /// Whether two keys make two texts of it.
    bool takes_from_key() const;

private:
    std::string text_;
};

class Question {
public:
    /// `template_name`: "query", "query_filter", "key_format". An empty `query` text reads that parameter. `format`: what result_format is
    /// where it is not set, or empty; without it a result_format that is empty is an Error.
    static Result<std::shared_ptr<const Question>> read(const std::string& spec, const SourceConfig& config, const std::string& template_name,
                                                        std::string query, Tables& tables, const std::optional<std::string>& format = {});
    Question(std::string spec, observe::Log log) : spec_(std::move(spec)), log_(std::move(log)) {}

    /// The key as it is asked, or none: not this key.
    awaitable<Result<std::optional<std::string>>> about(std::string key, Flags flags) const;
    const Template& query() const { return query_; }
    /// The results as one value, with commas between.
    Answer answer(const std::vector<std::string>& results, std::string_view key) const;

private:
    std::string spec_;
    observe::Log log_;
    Template query_, format_;
    MatchList domains_;
    std::uint64_t limit_ = 0;
};

}  // namespace posthorn::tables
