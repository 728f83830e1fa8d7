"""The tests marked `gpu` that CuPy's own code cannot pass on a CPU, by name, and why not."""

SORTS = "CuPy sorts by Thrust, whose kernels are binaries for GPUs"
HALF = "g++ does not compile CuPy's float16"
LATE = "nothing runs late on a CPU"
DRAWS = "CuPy draws numbers by cuRAND's kernels, which are binaries for GPUs"

NOT_SHOWN = {
    "test_results_reuse_the_memory_of_the_previous_batch": SORTS,  # numpy.shares_memory
    "test_parameter_of_an_own_layer_lies_in_the_vectors_of_the_network": SORTS,
    "test_a_copy_of_a_layer_can_be_used_in_another_network": SORTS,
    "test_parameters_of_the_layers_are_views_of_the_vectors": SORTS,
    "test_assigning_a_vector_copies_its_values": SORTS,
    "test_the_example_of_the_design_runs_as_written": SORTS,
    "test_rows_that_sum_to_one_except_for_rounding_are_accepted": HALF,
    "test_float16_data_are_converted_before_computing": HALF,
    "test_with_one_output_integers_are_numbers[cupy-float16": HALF,
    "test_inputs_of_any_form_agree_wherever_they_lie[cupy-float16": HALF,
    "test_a_training_step_does_not_wait_for_the_gpu": LATE,
    "test_a_generator_on_the_device_fills_an_array": DRAWS,
}


def reason(name: str) -> str | None:
    """Why the test of this name, with its parameters, is not shown; None if it is."""
    return next((why for start, why in NOT_SHOWN.items() if name.startswith(start)), None)
