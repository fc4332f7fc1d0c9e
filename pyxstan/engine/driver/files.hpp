// Names of the files that a run reads and writes, and how they are opened.
#ifndef PYXSTAN_DRIVER_FILES_HPP
#define PYXSTAN_DRIVER_FILES_HPP

#include "stan_math.hpp"

#include <stan/callbacks/json_writer.hpp>
#include <stan/io/var_context.hpp>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace pyxstan {

using context_ptr = std::shared_ptr<stan::io::var_context>;
using json_output = stan::callbacks::json_writer<std::ofstream>;

// Read a file of variables: JSON (`.json`) or R dump (`.R`). An empty name gives no variables.
context_ptr read_context(const std::string& file);
// "dir/name.ext" without its ".ext".
std::string stem(const std::string& file);
// "dir/name.ext" and a suffix give "dir/name_suffix.ext".
std::string suffixed(const std::string& file, const std::string& suffix,
                     const std::string& default_extension = ".csv");
// The files of several chains: one name with each chain's id, or a comma-separated list.
std::vector<std::string> chain_files(const std::string& file, std::size_t chains, unsigned int id);
// The same for files to read: where not every chain has its own, all read the file as it is named.
std::vector<std::string> input_files(const std::string& file, std::size_t chains, unsigned int id);
// A JSON file, or a writer that writes nothing where the name is empty.
json_output open_json(const std::string& file, int digits);

}  // namespace pyxstan

#endif
