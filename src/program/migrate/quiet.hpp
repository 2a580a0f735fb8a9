// migrate/quiet.hpp: a log that goes nowhere: what the rooms find is said in the report.
#pragma once

#include "observe/log.hpp"

#include <memory>

namespace posthorn::migrate {

inline observe::Log quiet_log()
{
    class Quiet final : public observe::Sink {
        void write(observe::Level, std::string_view, std::string_view) override {}
    };
    return observe::Log(std::make_shared<Quiet>(), "migrate");
}

}  // namespace posthorn::migrate
