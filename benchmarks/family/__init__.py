"""Parts of benchmarks/attack_family.py: the attack family against random text at equal budget."""
