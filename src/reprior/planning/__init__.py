"""What the user wrote -> what is to be made: every cell, batch, file and setting."""
