// services/table_files.hpp: the files of tables and lists, for a process that may not open them itself.
// The supervisor's broker opens what the configuration names, whatever its owner and mode, when the service starts, and passes it
// again when it changed. A file that the broker does not give is opened directly, which works where the process may.
#pragma once

#include "process/service.hpp"
#include "tables/file.hpp"

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::services {

class TableFiles final : public tables::FileOpener {
public:
    /// Asks the broker for every file that a parameter of `service` names: "type:/file", "/file" in a list, and what such
    /// a list names in turn; `parameters`: of these alone, for a process that is to have no others.
    static std::shared_ptr<TableFiles> fetch(process::Service& service, std::span<const std::string_view> parameters = {});

    Result<Fd> open(const std::string& path) override;
    Result<tables::FileStamp> stamp(const std::string& path) override;
    void changed(const std::string& path, Fd file);

private:
    std::map<std::string, Fd, std::less<>> files_;
};

}  // namespace posthorn::services
