// services/table_files.hpp: the files of tables and lists, for a process that may not open them itself.
// The supervisor's broker opens what the configuration names, whatever its owner and mode, when the service starts, and passes it
// again when it changed. A file that the broker does not give is opened directly, which works where the process may.
#pragma once

#include "process/service.hpp"
#include "tables/file.hpp"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::services {

class TableFiles final : public tables::FileOpener {
public:
    /// Asks the broker for every file that a parameter of `service`, or of a line that runs there, names: "type:/file", "/file" in a list, and what such
    /// a list names in turn; `parameters`: of these alone, for a process that is to have no others.
    static std::shared_ptr<TableFiles> fetch(process::Service& service, std::span<const std::string_view> parameters = {});

    /// Whether `service`, with the configuration it has now, or one of its lists names a file that was not asked for: this process would not
    /// get it any more.
    bool lacks_any(const process::Service& service) const;

    Result<Fd> open(const std::string& path) override;
    Result<tables::FileStamp> stamp(const std::string& path) override;
    void changed(const std::string& path, Fd file);
    /// Called after each; one listener.
    void on_change(std::function<void(const std::string& path)> hear) { hear_ = std::move(hear); }

private:
    std::map<std::string, Fd, std::less<>> files_;
    std::function<void(const std::string&)> hear_;
    std::set<std::string> asked_;  // whether or not the broker gave them: who is not there may come
    std::vector<std::string_view> parameters_;
};

}  // namespace posthorn::services
