"""What a fit needs beside Lightning's Trainer."""
