// What every method gets to do its work, and the list in which methods register themselves.
//
// One translation unit a method: an executable is linked with those it needs, and compiling them is
// the larger part of a first fit. They see the model through its virtual base class alone.
#ifndef PYXSTAN_DRIVER_RUN_HPP
#define PYXSTAN_DRIVER_RUN_HPP

#include "files.hpp"
#include "grammar.hpp"
#include "writers.hpp"

#include <stan/callbacks/interrupt.hpp>
#include <stan/callbacks/stream_logger.hpp>
#include <stan/model/model_base.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pyxstan {

struct run {
  const settings& set;
  stan::model::model_base& model;
  stan::callbacks::logger& logger;
  stan::callbacks::interrupt& interrupt;
  unsigned int seed;
  unsigned int id;
  int refresh;
  std::size_t chains;  // chains of sampling, paths of Pathfinder; else 1
  double init_radius;
  std::vector<context_ptr> inits;           // a context a chain
  std::vector<std::string> output_files;    // a file a chain (Pathfinder: one in all)
  std::vector<csv_writer> output;           // ... with the configuration already in it
  std::vector<csv_writer> diagnostics;      // a writer a chain, idle where no file was asked for
  int digits;
  // Start another CSV file with the configuration as its header.
  std::function<csv_writer(const std::string&)> open_csv;
};

// A method of Stan's; returns Stan's error code.
using method = int (*)(run&);

std::map<std::string, method>& methods();

struct registration {
  registration(const std::string& unit, method m) { methods()[unit] = m; }
};

}  // namespace pyxstan

#endif
