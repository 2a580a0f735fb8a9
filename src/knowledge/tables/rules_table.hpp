// tables/rules_table.hpp: what cidr, regexp and pcre share: rules from a file, or from the inline form "type:{ {rule}, ... }",
// where each piece in braces is one line.
#pragma once

#include <span>

#include "tables/reloading.hpp"

namespace posthorn::tables {

template <class Rules>
using ParseRules = Result<std::shared_ptr<const Rules>> (*)(std::span<const LogicalLine> lines, std::string_view file, Flags flags,
                                                            FileOpener& opener, Warnings& warnings);

template <class Rules>
class RulesTable : public Table {
public:
    using Parse = ParseRules<Rules>;

    RulesTable(std::string spec, const std::string& name, Flags flags, const Site& site, Parse parse) : Table(std::move(spec)), flags_(flags)
    {
        if (name.starts_with('{')) {
            Warnings warnings;
            inline_ = parse_inline(parse, name, flags, *site.opener, warnings);
            if (!inline_)
                inline_ = Error{this->name().substr(0, this->name().find(':')) + " map: " + inline_.error().what()};
            for (const std::string& warning : warnings)
                site.log.warning("{}", warning);
            return;
        }
        file_.emplace(site, name, [parse, name, flags, opener = site.opener](const std::string& text, Warnings& warnings) {
            LogicalLines source(text, name, warnings);
            std::vector<LogicalLine> lines;
            for (LogicalLine line; source.next(line);)
                lines.push_back(line);
            return parse(lines, name, flags, *opener, warnings);
        });
    }
    bool pattern() const override { return true; }
    std::optional<Error> broken() override
    {
        auto now = rules();
        return now ? std::nullopt : std::optional{now.error()};
    }

protected:
    Result<const Rules*> rules()
    {
        if (file_)
            return file_->current();
        if (!inline_)
            return inline_.error();
        return inline_->get();
    }
    Flags flags_;

private:
    static Result<std::shared_ptr<const Rules>> parse_inline(Parse parse, const std::string& name, Flags flags, FileOpener& opener,
                                                             Warnings& warnings)
    {
        TRY(const std::string_view inside, unbrace(name));
        std::vector<LogicalLine> lines;
        for (const std::string_view piece : split_braced(inside)) {
            TRY(const std::string_view line, unbrace(piece));
            lines.push_back({std::string(line), static_cast<int>(lines.size()) + 1});
        }
        return parse(lines, name, flags, opener, warnings);
    }

    std::optional<Reloading<Rules>> file_;
    Result<std::shared_ptr<const Rules>> inline_ = Error{"not read"};
};

}  // namespace posthorn::tables
