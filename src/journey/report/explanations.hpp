// report/explanations.hpp: bounce_explanation_maps, asked.
// Order    the first table that has any key of the cause (explain.hpp) answers: what a site says goes before "shipped", however precise that is.
// Class    bounce_classification_maps says it, as for delivery records, of every failure; else the status (handoff/record.hpp). What was given
//          up after its time, and has no class, is MessageExpired.
// Errors   none holds up a report: a table that cannot be asked, is silent for `patience`, or has a text that does not expand is said in the log,
//          with table and key, and who it concerns goes without explanation. It is not asked again for this report.
#pragma once

#include "async/async.hpp"
#include "observe/log.hpp"
#include "report/explain.hpp"
#include "tables/table.hpp"

#include <chrono>
#include <memory>
#include <set>

namespace posthorn::report {

class Explanations {
public:
    static constexpr std::chrono::seconds usual_patience{10};        // for all questions of one report together

    /// `tasks` and `tables` live longer; questions that nobody waits for any more end there.
    Explanations(const config::Snapshot& snapshot, tables::Tables& tables, TaskGroup& tasks, std::chrono::milliseconds patience = usual_patience);

    /// For each verdict its text, expanded; empty: nothing is said. `request` and `options` live meanwhile.
    awaitable<std::vector<std::string>> of(const handoff::ReportRequest& request, const Options& options);

    /// What is wrong with the parameters, and with texts of tables that can be read as a whole: "PARAMETER: texthash:/file: key: reason".
    std::vector<std::string> faults() const;

private:
    struct Source {
        std::string name;                            // as warnings have it
        std::shared_ptr<tables::Table> table;        // none: the shipped texts
    };
    struct Round;
    struct Text;
    awaitable<std::string> classification(Round& round, const handoff::Verdict& verdict);
    awaitable<Text> find(Round& round, const std::vector<std::string>& keys);
    awaitable<tables::Answer> ask(Round& round, const Source& source, const std::string& key);
    void warn(Round& round, const Source& source, std::string_view parameter, std::string_view key, std::string_view why) const;

    std::vector<Source> sources_, classes_;
    std::string languages_;
    std::function<std::optional<std::string>(std::string_view)> parameter_;
    TaskGroup& tasks_;
    observe::Log log_;
    std::chrono::milliseconds patience_;
};

/// The same for who has no loop (`postfix check`).
std::vector<std::string> explanation_faults(const config::Snapshot& snapshot, tables::Tables& tables);

}  // namespace posthorn::report
